"""The routes: what each takes, which models answer it, and what is asked of them.

Those of text-embeddings-inference and of OpenAI answer as these do; each other task has one route, with the name of
its command.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..models.sentence_embedding import unit
from ..tasks.feature_extraction import cosine_similarity
from ..tasks.zero_shot import zero_shot_classification
from . import schemas
from .errors import RequestError, inference_failed
from .served import Served


class Ask(NamedTuple):
    """What a request asks of a model.

    Attributes:
        inputs: for the task.
        options: of the task.
        answer: the results of the inputs, and how many tokens they had → the body of the answer.
        call: another function of the model than its task.
    """

    inputs: list[Any]
    options: dict[str, Any]
    answer: Callable[[list[Any], int], Any]
    call: Callable[..., Any] | None = None


class Told(NamedTuple):
    """An answer that needs no model: the tokenizer gave it. inputs: how many texts there were."""

    content: Any
    inputs: int


@dataclass(frozen=True)
class Route:
    """One path.

    Attributes:
        path, summary: for the document.
        request: its body.
        response: the type of its answer.
        needs: what a model must be, for the error of one that is not.
        serves: whether a model answers it.
        ask: a model and the checked body → what is asked of the model.
        also: further paths.
        openai: whether errors have the form that OpenAI's clients read.
    """

    path: str
    summary: str
    request: type[schemas.Body]
    response: Any
    needs: str
    serves: Callable[[Served], bool]
    ask: Callable[[Served, Any], Ask | Told]
    also: Sequence[str] = field(default=())
    openai: bool = False


# --- embeddings -----------------------------------------------------------------------------------


def _pools(served: Served) -> bool:
    return served.width is not None


def _texts(served: Served, inputs: Any) -> list[str]:
    """The texts of a request: one or several, each as text or as ids."""
    one = isinstance(inputs, str) or isinstance(inputs[0], int)
    return [served.text(value) for value in ([inputs] if one else inputs)]


def _truncation(truncate: bool | None) -> dict[str, Any]:
    return {"truncation": False} if truncate is False else {}


def _prompted(body: schemas.EmbedAllRequest) -> dict[str, Any]:
    options = _truncation(body.truncate)
    return options if body.prompt_name is None else {**options, "prompt_name": body.prompt_name}


def _vectors(served: Served, results: Sequence[np.ndarray], dimensions: int | None, normalize: bool) -> np.ndarray:
    """Embeddings [B, D], cut to so many dimensions; of length 1 again where they are to be."""
    vectors = np.stack(results)
    if not np.isfinite(vectors).all():
        raise inference_failed("an embedding has values that are not finite")
    if dimensions is not None and dimensions < vectors.shape[1]:
        vectors = vectors[:, :dimensions]
        vectors = unit(vectors) if normalize else vectors
    return np.ascontiguousarray(vectors, np.float32)


def _check_dimensions(served: Served, dimensions: int | None) -> None:
    if dimensions is not None and served.width is not None and dimensions > served.width:
        raise ValueError(f"dimensions is {dimensions}, and the embeddings of {served.name} have {served.width}")


def _embed(served: Served, body: schemas.EmbedRequest) -> Ask:
    _check_dimensions(served, body.dimensions)

    def answer(results: list[Any], _: int) -> Any:
        return _vectors(served, results, body.dimensions, body.normalize)

    return Ask(_texts(served, body.inputs), {**_prompted(body), "normalize": body.normalize}, answer)


def _embed_all(served: Served, body: schemas.EmbedAllRequest) -> Ask:
    options = {**_prompted(body), "pooling": "none"}
    return Ask(_texts(served, body.inputs), options, lambda results, _: [np.ascontiguousarray(one) for one in results])


def _similarity(served: Served, body: schemas.SimilarityRequest) -> Ask:
    given = body.parameters or schemas.SimilarityParameters()
    options = _truncation(given.truncate)
    if given.prompt_name is not None:
        options["prompt_name"] = given.prompt_name

    def answer(results: list[Any], _: int) -> Any:
        vectors = _vectors(served, results, None, True)
        return cosine_similarity(vectors[:1], vectors[1:])[0]

    return Ask([body.inputs.source_sentence, *body.inputs.sentences], {**options, "normalize": True}, answer)


def _openai(served: Served, body: schemas.OpenAIRequest) -> Ask:
    _check_dimensions(served, body.dimensions)

    def answer(results: list[Any], tokens: int) -> Any:
        vectors: Any = _vectors(served, results, body.dimensions, True)
        if body.encoding_format == "base64":
            vectors = [base64.b64encode(one.astype("<f4").tobytes()).decode() for one in vectors]
        return {
            "object": "list",
            "data": [{"object": "embedding", "index": i, "embedding": one} for i, one in enumerate(vectors)],
            "model": served.name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    return Ask(_texts(served, body.input), {"normalize": True}, answer)


# --- classification -------------------------------------------------------------------------------


def _classifies(served: Served) -> bool:
    return served.task == "text-classification"


def _ranks(served: Served) -> bool:
    return _classifies(served) and len(served.labels) == 1


def _pair(texts: Sequence[str]) -> Any:
    return texts[0] if len(texts) == 1 else tuple(texts)


def _predict(served: Served, body: schemas.PredictRequest) -> Ask:
    inputs: Any = body.inputs
    single = isinstance(inputs, str) or isinstance(inputs[0], str)
    pairs = [_pair([inputs] if isinstance(inputs, str) else inputs)] if single else [_pair(one) for one in inputs]
    options = {**_truncation(body.truncate), "top_k": None}
    if body.raw_scores:
        options["function_to_apply"] = "none"
    return Ask(pairs, options, lambda results, _: results[0] if single else results)


def _rerank(served: Served, body: schemas.RerankRequest) -> Ask:
    options = {**_truncation(body.truncate), "function_to_apply": "none" if body.raw_scores else "sigmoid"}

    def answer(results: list[Any], _: int) -> Any:
        ranks = [{"index": i, "score": one["score"]} for i, one in enumerate(results)]
        ranks.sort(key=lambda rank: -rank["score"])
        return [{**rank, "text": body.texts[rank["index"]]} for rank in ranks] if body.return_text else ranks

    return Ask([(body.query, text) for text in body.texts], options, answer)


def _zero_shot(served: Served, body: schemas.ZeroShotRequest) -> Ask:
    options = body.model_dump(include={"candidate_labels", "hypothesis_template", "multi_label"})
    return _ask(body.inputs, options, call=zero_shot_classification)


# --- the other tasks ------------------------------------------------------------------------------


def _of(task: str) -> Callable[[Served], bool]:
    return lambda served: served.task == task


def _ask(inputs: Any, options: dict[str, Any], call: Any = None) -> Ask:
    """One input has one result, a list of them a list."""
    one = not isinstance(inputs, list)
    return Ask([inputs] if one else inputs, options, lambda results, _: results[0] if one else results, call)


def _fill_mask(served: Served, body: schemas.FillMaskRequest) -> Ask:
    if unknown := [one for one in body.targets or () if not served.has_token(one)]:
        raise ValueError(f"targets {', '.join(map(repr, unknown))} are not in the vocabulary: give tokens that are")
    return _ask(body.inputs, {**_truncation(body.truncate), "top_k": body.top_k, "targets": body.targets})


def _tag(served: Served, body: schemas.TagRequest) -> Ask:
    options = {"aggregation": body.aggregation_strategy, "ignore_labels": body.ignore_labels, "stride": body.stride}
    return _ask(body.inputs, options)


def _plain(inputs: Any) -> Any:
    """Objects of a request as a task takes them."""
    return [one.model_dump() for one in inputs] if isinstance(inputs, list) else inputs.model_dump()


def _answer(served: Served, body: schemas.AnswerRequest) -> Ask:
    options = {
        "top_k": body.top_k,
        "handle_impossible_answer": body.handle_impossible_answer,
        "max_answer_length": body.max_answer_len,
    }
    return _ask(_plain(body.inputs), options)


def _choose(served: Served, body: schemas.ChooseRequest) -> Ask:
    return _ask(_plain(body.inputs), {})


def _next_sentence(served: Served, body: schemas.NextSentenceRequest) -> Ask:
    one = isinstance(body.inputs[0], str)
    return _ask(tuple(body.inputs) if one else [tuple(pair) for pair in body.inputs], {})


def _generate(served: Served, body: schemas.GenerateRequest) -> Ask:
    options = body.model_dump(exclude={"inputs", "model", "truncate"}, exclude_none=True)
    return _ask(body.inputs, options)


def _summarize(served: Served, body: schemas.SummarizeRequest) -> Ask:
    asked = _generate(served, body)
    return asked._replace(options={**asked.options, **_truncation(body.truncate)})


# --- the tokenizer --------------------------------------------------------------------------------


def _tokenize(served: Served, body: schemas.TokenizeRequest) -> Told:
    before = served.prompt(body.prompt_name)
    texts = [before + text for text in ([body.inputs] if isinstance(body.inputs, str) else body.inputs)]
    rows = served.tokenizer.ragged(
        texts,
        add_special_tokens=body.add_special_tokens,
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
        verbose=False,
    )
    found = zip(texts, *map(rows.lists, ("input_ids", "special_tokens_mask", "offset_mapping")), strict=True)
    return Told([list(_tokens(served, *of_text)) for of_text in found], len(texts))


def _tokens(
    served: Served, text: str, ids: Sequence[int], special: Sequence[int], spans: Sequence[tuple[int, int]]
) -> Iterable[dict[str, Any]]:
    names = served.tokenizer.convert_ids_to_tokens(ids)
    for one, name, added, (start, stop) in zip(ids, names, special, spans, strict=True):
        if added:
            yield {"id": one, "text": name, "special": True, "start": None, "stop": None}
        else:
            yield {"id": one, "text": text[start:stop], "special": False, "start": start, "stop": stop}


def _decode(served: Served, body: schemas.DecodeRequest) -> Told:
    texts: Any = [body.ids] if isinstance(body.ids[0], int) else body.ids
    return Told([served.decoded(ids, body.skip_special_tokens) for ids in texts], len(texts))


def _any(served: Served) -> bool:
    return True


_Predictions = list[schemas.Prediction]
_Objects = list[dict[str, Any]]
_Tokens = list[list[schemas.Token]]
_EMBEDDING = "an embedding model that says how it pools (--pooling gives it one)"
_CLASSIFIER = "a classifier"

ROUTES = (
    Route("/embed", "Embeddings of texts", schemas.EmbedRequest, schemas.Embeddings, _EMBEDDING, _pools, _embed),
    Route(
        "/embed_all",
        "The vector of each token of texts",
        schemas.EmbedAllRequest,
        schemas.TokenVectors,
        "an embedding model",
        _of("feature-extraction"),
        _embed_all,
    ),
    Route(
        "/similarity",
        "The cosine of a text and each of several others",
        schemas.SimilarityRequest,
        list[float],
        _EMBEDDING,
        _pools,
        _similarity,
    ),
    Route(
        "/v1/embeddings",
        "Embeddings, as OpenAI's clients ask for them",
        schemas.OpenAIRequest,
        schemas.OpenAIResponse,
        _EMBEDDING,
        _pools,
        _openai,
        also=("/embeddings",),
        openai=True,
    ),
    Route(
        "/predict",
        "The labels of texts or pairs",
        schemas.PredictRequest,
        _Predictions | list[_Predictions],
        _CLASSIFIER,
        _classifies,
        _predict,
    ),
    Route(
        "/rerank",
        "Texts in the order in which they answer a query",
        schemas.RerankRequest,
        list[schemas.Rank],
        "a cross-encoder with one label",
        _ranks,
        _rerank,
    ),
    Route(
        "/zero-shot",
        "Labels of any name, ranked by inference",
        schemas.ZeroShotRequest,
        dict[str, Any] | _Objects,
        "a classifier trained on natural language inference",
        lambda served: served.entails,
        _zero_shot,
    ),
    Route(
        "/fill-mask",
        "The words that fit in the place of a mask",
        schemas.FillMaskRequest,
        list[Any],
        "a masked language model",
        _of("fill-mask"),
        _fill_mask,
    ),
    Route(
        "/tag",
        "The names and phrases in texts",
        schemas.TagRequest,
        _Objects | list[_Objects],
        "a token classifier",
        _of("token-classification"),
        _tag,
    ),
    Route(
        "/answer",
        "Answers to questions from their contexts",
        schemas.AnswerRequest,
        dict[str, Any] | list[Any],
        "a question-answering model",
        _of("question-answering"),
        _answer,
    ),
    Route(
        "/choose",
        "Which of several answers fits a question",
        schemas.ChooseRequest,
        dict[str, Any] | _Objects,
        "a multiple-choice model",
        _of("multiple-choice"),
        _choose,
    ),
    Route(
        "/next-sentence",
        "Whether a text follows another",
        schemas.NextSentenceRequest,
        dict[str, Any] | _Objects,
        "a next-sentence model",
        _of("next-sentence-prediction"),
        _next_sentence,
    ),
    Route(
        "/generate",
        "Continuations of prompts",
        schemas.GenerateRequest,
        dict[str, Any] | list[Any],
        "a causal model",
        _of("text-generation"),
        _generate,
    ),
    Route(
        "/summarize",
        "Summaries of documents",
        schemas.SummarizeRequest,
        dict[str, Any] | list[Any],
        "an encoder-decoder",
        _of("summarization"),
        _summarize,
    ),
    Route(
        "/tokenize",
        "The tokens of texts",
        schemas.TokenizeRequest,
        list[list[schemas.Token]],
        "a model",
        _any,
        _tokenize,
    ),
    Route("/decode", "The texts of ids", schemas.DecodeRequest, list[str], "a model", _any, _decode),
)


# For requests that any model may answer, by its own route.
ANY = ROUTES[-1]
# What Vertex AI sends: several requests of the model's own route in one.
VERTEX = Route(
    "/vertex",
    "Requests of the model's own route, as Vertex AI sends them",
    schemas.VertexRequest,
    dict[str, Any],
    "a model",
    _any,
    lambda served, body: Told(None, 0),
)


def own_route(served: Served) -> Route:
    """The route of a model's own task, which `POST /` and `/invocations` are."""
    if _ranks(served):
        return next(route for route in ROUTES if route.ask is _rerank)
    return next(route for route in ROUTES if route.serves(served))


def model_for(models: Sequence[Served], route: Route, name: str | None) -> Served:
    """The model that answers a request: the one that is named, else the first that can.

    Raises:
        RequestError: there is none of this name, or it cannot answer such requests.
    """
    able = [served for served in models if route.serves(served)]
    if name is None or name in _ANY_NAME:
        if not able:
            raise inference_failed(f"{route.path} needs {route.needs}, and none is served")
        return able[0]
    found = next((served for served in models if served.name == name), None)
    if found is None:
        known = ", ".join(served.name for served in models)
        raise RequestError(404, "Validation", f"there is no model {name!r:.100}; those served are {known}")
    if found not in able:
        raise inference_failed(f"{route.path} needs {route.needs}, and {name} is a model of {found.task}")
    return found


# What the documentation of text-embeddings-inference has OpenAI's clients send as the name of a model.
_ANY_NAME = ("text-embeddings-inference", "tei")
