"""Fits what `gelu` of `bertx/models/nn.py` computes Φ from: prints the coefficients and the largest error of x Φ(x).

With Φ the distribution function of the standard normal, log 2Φ(-a) is smooth for a ≥ 0, and a P(a) / Q(a) follows it
with few coefficients. They minimise the largest error of a Φ(-a): weighted least squares with Lawson's weights, in 80
digits. Run as `python tools/fit_gelu.py` (needs mpmath).
"""

from __future__ import annotations

import mpmath as mp

# Degrees of P and Q, and the a beyond which a Φ(-a) is less than the precision of the type.
TYPES = {"float32": (4, 2, 5.6), "float64": (7, 6, 8.6)}
ROUNDS = 25


def fit(p_degree: int, q_degree: int, top: float) -> tuple[list[float], list[float], float]:
    """The coefficients of P and of Q, from that of 1 upwards, and the largest error."""
    count = 4 * (p_degree + q_degree + 2)
    points = [top * (1 - mp.cos(mp.pi * (i + mp.mpf(1) / 2) / count)) / 2 for i in range(count)]
    tails = [mp.erfc(a / mp.sqrt(2)) for a in points]  # 2Φ(-a)
    errors_count = [tail * max(1, a) for tail, a in zip(tails, points, strict=True)]
    weights, quotients = [mp.mpf(1)] * count, [mp.mpf(1)] * count
    best = ([], [], mp.inf)
    for _ in range(ROUNDS):
        rows, right = mp.matrix(count, p_degree + 1 + q_degree), mp.matrix(count, 1)
        for i, a in enumerate(points):
            weight = mp.sqrt(weights[i]) * errors_count[i] / quotients[i]
            for power in range(p_degree + 1):
                rows[i, power] = weight * a * (a / top) ** power
            for power in range(1, q_degree + 1):
                rows[i, p_degree + power] = -weight * mp.log(tails[i]) * (a / top) ** power
            right[i] = weight * mp.log(tails[i])
        solution = list(mp.qr_solve(rows, right)[0])
        p = [c / mp.mpf(top) ** i for i, c in enumerate(solution[: p_degree + 1])]
        q = [c / mp.mpf(top) ** i for i, c in enumerate([mp.mpf(1), *solution[p_degree + 1 :]])]
        quotients = [mp.polyval(q[::-1], a) for a in points]
        errors = [
            abs(mp.log(tail) - a * mp.polyval(p[::-1], a) / quotient) * count_of / 2
            for a, tail, quotient, count_of in zip(points, tails, quotients, errors_count, strict=True)
        ]
        if max(errors) < best[2]:
            best = ([float(c) for c in p], [float(c) for c in q], max(errors))
        weights = [w * (error / max(errors) + mp.mpf("0.01")) for w, error in zip(weights, errors, strict=True)]
        weights = [w * count / sum(weights) for w in weights]
    return best


if __name__ == "__main__":
    mp.mp.dps = 80
    for name, (p_degree, q_degree, top) in TYPES.items():
        p, q, error = fit(p_degree, q_degree, top)
        print(f"{name}: largest error {mp.nstr(error, 3)}\nP {p}\nQ {q}")
