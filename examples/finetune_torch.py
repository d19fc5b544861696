"""Fine-tunes a text classifier in PyTorch: python examples/finetune_torch.py SOURCE OUT."""

from __future__ import annotations

import recipe
import torch

from bertx import BertTokenizer
from bertx_torch import BertForSequenceClassification


def train(model: BertForSequenceClassification, tokenizer: BertTokenizer, updates: int) -> list[float]:
    """The recipe's updates; gives the loss of each batch."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": recipe.WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=recipe.BETAS, eps=recipe.EPSILON)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: recipe.learning_rate(update, updates))
    losses = []
    model.train()
    for i, batch in enumerate(recipe.batches(tokenizer, updates * recipe.ACCUMULATED), 1):
        loss = model(**{name: torch.from_numpy(value) for name, value in batch.items()}).loss
        (loss / recipe.ACCUMULATED).backward()
        losses.append(loss.item())
        if i % recipe.ACCUMULATED == 0:
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.CLIP_NORM)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.eval()
    return losses


if __name__ == "__main__":
    asked = recipe.arguments(__doc__)
    torch.manual_seed(0)
    model = BertForSequenceClassification.from_pretrained(asked.source, **recipe.settings(asked.dropout))
    tokenizer = BertTokenizer.from_pretrained(asked.source)
    recipe.save(model, tokenizer, asked.out, train(model, tokenizer, asked.updates))
