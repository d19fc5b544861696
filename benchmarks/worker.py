"""One contender of one case, in a process of its own: run.py starts it, and says when it computes.

    python worker.py JOB     # a JSON object, made by run.py

Standard output has a JSON object a line: first how long loading took, then one for each "run" read from standard
input, and the versions for "versions". What libraries print there goes to standard error. The first output is kept
in a file, so that run.py sees whether the contenders compute the same.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cases
import numpy as np

LIBRARIES = (
    "torch transformers tensorflow keras tf_keras keras_hub jax flax optax sentence_transformers onnxruntime numpy"
)
MAX_LENGTH, BATCH, FILL_BATCH, NEW_TOKENS = 256, 32, 8, 100
SUMMARY_TOKENS = 64
MLM_TEXTS, MLM_ROWS = 8, 2  # texts of a batch, and packed rows with about as many tokens
LEARNING_RATE = 2e-5
FLAX = {"BertLMHeadModel": "FlaxBertForCausalLM"}  # those that FlaxBert calls otherwise
LONG = 2.0  # seconds of a call that needs no other before it
Forward = Callable[[dict[str, np.ndarray]], np.ndarray]


def bertx(job):
    """bertx on one backend, by `bertx.load`."""
    from bertx.checkpoints.load import load

    backend, _, variant = job.variant.partition(" ")
    model = load(job.folder, backend=backend, dtype=variant if variant in ("bfloat16", "int8") else "float32")
    if variant == "compiled":
        model.module.compile(dynamic=job.kind == "embed")  # texts are of many shapes
    if job.kind == "embed":
        return model
    if job.kind == "tokenise":
        tokenize = arrays_of(model.tokenizer)
        return lambda texts: tokenize(texts)["input_ids"]
    if job.kind == "fill":
        # A batch is cut by its tokens; of texts of one length these are FILL_BATCH texts.
        return lambda texts: words(model(texts, batch_tokens=FILL_BATCH * job.length))
    if job.kind == "generate":
        return lambda text: model(text, max_new_tokens=NEW_TOKENS)["tokens"]
    if job.kind == "summarize":
        return lambda text: model(text, max_new_tokens=SUMMARY_TOKENS, num_beams=job.beams)["tokens"]
    if job.kind == "train":
        step = {"torch": torch_step, "jax": jax_step, "tensorflow": keras_step}[backend]
        return lambda inputs: model.forward(**inputs)[job.reads], step(model.module, "keras")
    if job.kind == "train_mlm":
        return first_logits(lambda **inputs: model.forward(**inputs)["logits"], model.tokenizer), packed_epoch(model)
    if variant == "every position":
        return torch_forward(lambda **inputs: [model.module.classifier(model.module.bert(**inputs).pooler_output)], 0)
    return lambda inputs: model.forward(**inputs)[job.reads]


def transformers(job):
    """transformers 5 on PyTorch."""
    import torch
    import transformers
    from transformers.models.bert import modeling_bert

    if job.kind == "tokenise":
        tokenize = hub_tokenizer(job.folder)
        return lambda texts: tokenize(texts)["input_ids"]
    if job.kind == "summarize":
        model = transformers.EncoderDecoderModel.from_pretrained(job.folder).eval()
        options = {"max_new_tokens": SUMMARY_TOKENS, "num_beams": job.beams}
        return writer(job, model.generate, torch.from_numpy, **options)
    model = getattr(modeling_bert, job.head).from_pretrained(job.folder).eval()
    if job.kind == "fill":
        tokenizer = transformers.AutoTokenizer.from_pretrained(job.folder)
        pipeline = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, device="cpu")
        return lambda texts: words(pipeline(texts, batch_size=FILL_BATCH))
    if job.kind == "generate":
        return writer(job, model.generate, torch.from_numpy, max_new_tokens=NEW_TOKENS)
    forward = torch_forward(model, job.reads)
    if job.kind == "train_mlm":
        tokenizer = transformers.AutoTokenizer.from_pretrained(job.folder)
        return first_logits(lambda **inputs: forward(inputs), tokenizer), padded_epoch(model, tokenizer)
    if job.kind == "train":
        return forward, torch_step(model)
    return forward if job.kind == "forward" else embedder(forward, hub_tokenizer(job.folder))


def tfbert(job):
    """TFBert of transformers 4.57: called eagerly as its users do, in a tf.function, or compiled by XLA."""
    import tensorflow as tf
    from transformers.models.bert import modeling_tf_bert

    # Its safetensors reader fails with the installed safetensors.
    model = getattr(modeling_tf_bert, f"TF{job.head}").from_pretrained(job.folder, use_safetensors=False)

    if job.kind == "generate":
        generate = tf.function(model.generate, jit_compile=True) if job.variant == "xla" else model.generate
        return writer(job, generate, tf.constant, max_new_tokens=NEW_TOKENS)

    def call(inputs):
        return model(inputs, training=False)[job.reads]

    if job.variant != "eager":
        call = tf.function(call, jit_compile=job.variant == "xla")

    def forward(inputs):
        return call({name: tf.constant(value, tf.int32) for name, value in inputs.items()}).numpy()

    if job.kind == "train":
        return forward, keras_step(model, "tf_keras")
    return forward if job.kind == "forward" else embedder(forward, hub_tokenizer(job.folder))


def flaxbert(job):
    """FlaxBert of transformers 4.57, jitted."""
    import jax
    from transformers.models.bert import modeling_flax_bert

    # It reads its cache under this setting alone; without an encoder the layers that it adds do nothing.
    options = {"add_cross_attention": True} if job.kind == "generate" else {}
    model = getattr(modeling_flax_bert, FLAX.get(job.head, f"Flax{job.head}")).from_pretrained(job.folder, **options)
    if job.kind == "generate":
        fixed = ("max_new_tokens", "do_sample", "eos_token_id", "pad_token_id")
        generate = jax.jit(lambda *args, **options: model.generate(*args, **options).sequences, static_argnames=fixed)
        return writer(job, generate, np.asarray, max_new_tokens=NEW_TOKENS)
    call = jax.jit(lambda params, inputs: model(**inputs, params=params)[job.reads])

    def forward(inputs):
        return np.asarray(call(model.params, {name: value.astype(np.int32) for name, value in inputs.items()}))

    if job.kind == "train":
        return forward, jax_step(model)
    return forward if job.kind == "forward" else embedder(forward, hub_tokenizer(job.folder))


def keras_hub(job):
    """KerasHub on the backend that KERAS_BACKEND names, by `predict_on_batch`, which compiles."""
    import keras_hub

    model_class = keras_hub.models.BertBackbone if job.head == "BertModel" else keras_hub.models.BertTextClassifier
    options = {} if job.head == "BertModel" else {"preprocessor": None}
    model = model_class.from_preset(job.folder, **options)
    names = {"token_ids": "input_ids", "padding_mask": "attention_mask", "segment_ids": "token_type_ids"}

    def forward(inputs):
        outputs = model.predict_on_batch({name: inputs[ours].astype(np.int32) for name, ours in names.items()})
        return outputs["sequence_output"] if job.head == "BertModel" else outputs

    return forward


def sentence_transformers(job):
    """sentence-transformers, with its own batches of 32 by length."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(job.folder, device="cpu")
    return lambda texts: model.encode(texts, show_progress_bar=False)


def onnxruntime(job):
    """ONNX Runtime on what PyTorch exports of bertx_torch, texts by the `tokenizers` library."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    session = onnxruntime.InferenceSession(f"{job.folder}/model.onnx", options, providers=["CPUExecutionProvider"])

    def forward(inputs):
        return session.run([job.reads], inputs)[0]

    if job.kind == "forward":
        return forward
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{job.folder}/tokenizer.json")
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.enable_padding()

    def tokenize(texts):
        rows = tokenizer.encode_batch(texts)
        parts = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        return {name: np.array([getattr(row, part) for row in rows]) for name, part in parts.items()}

    return embedder(forward, tokenize)


def product(job):
    """A float32 product of two square matrices: what this machine can do at most."""
    a, b = np.random.default_rng(0).standard_normal((2, cases.PRODUCT_SIZE, cases.PRODUCT_SIZE), np.float32)
    if job.variant == "torch":
        import torch

        a, b = torch.from_numpy(a), torch.from_numpy(b)
    return lambda inputs: (a @ b)[:1, :1]


def writer(job, generate, array, **options):
    """A text → the ids that `generate` of transformers adds; a causal model continues it, without its [SEP]."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job.folder)
    ends = {"eos_token_id": tokenizer.sep_token_id, "pad_token_id": tokenizer.pad_token_id}

    def write(text):
        ids = tokenizer([text], return_tensors="np")["input_ids"]
        ids = ids if job.kind == "summarize" else ids[:, :-1]
        found = generate(array(ids), attention_mask=array(np.ones_like(ids)), do_sample=False, **ends, **options)
        found = np.asarray(found)[0, (1 if job.kind == "summarize" else ids.shape[1]) :].tolist()
        return found[: found.index(tokenizer.sep_token_id)] if tokenizer.sep_token_id in found else found

    return write


def torch_forward(model, reads) -> Forward:
    """Arrays through a PyTorch model."""
    import torch

    def forward(inputs):
        with torch.inference_mode():
            return model(**{name: torch.from_numpy(value) for name, value in inputs.items()})[reads].numpy()

    return forward


def hub_tokenizer(folder):
    """The tokenizer of transformers, as arrays."""
    from transformers import AutoTokenizer

    return arrays_of(AutoTokenizer.from_pretrained(folder))


def arrays_of(tokenizer):
    """A tokenizer's call that gives arrays."""
    options = {"padding": True, "truncation": True, "max_length": MAX_LENGTH, "return_tensors": "np"}
    return lambda texts: dict(tokenizer(texts, **options))


def embedder(forward: Forward, tokenize) -> Callable[[list[str]], np.ndarray]:
    """Texts in their order, in batches of 32: the mean over their tokens, of length 1."""

    def embed(texts):
        vectors = []
        texts = [texts] if isinstance(texts, str) else texts
        for start in range(0, len(texts), BATCH):
            inputs = tokenize(texts[start : start + BATCH])
            mask = inputs["attention_mask"][..., None].astype(np.float32)
            means = (forward(inputs) * mask).sum(1) / mask.sum(1)
            vectors.append(means / np.linalg.norm(means, axis=-1, keepdims=True))
        return np.concatenate(vectors)

    return embed


def words(answers) -> np.ndarray:
    """The token and the log score of each word of fill-mask, [texts, words, 2]."""
    return np.array([[(word["token"], np.log(word["score"])) for word in answer] for answer in answers])


def first_logits(forward, tokenizer):
    """Texts → the scores of the vocabulary in the first of them, nothing hidden."""
    return lambda texts: forward(**arrays_of(tokenizer)(texts[:1]))[0]


def packed_epoch(model):
    """An epoch as `bertx.train` makes it with packing: words are scored where they are hidden."""
    from bertx.backend import get_backend
    from bertx.data import Batches, collator_of
    from bertx.training.recipe import Recipe

    recipe = Recipe(learning_rate=LEARNING_RATE, schedule="constant", packing=True, batch_size=MLM_ROWS)
    trainer = get_backend(model.backend).trainer()(model.module, recipe, 1)
    collate = collator_of("fill-mask", model.tokenizer, model.config, packing=True, max_length=MAX_LENGTH)
    made = {}

    def epoch(texts):
        if not made:
            made["batches"] = Batches([{"text": text} for text in texts], collate, MLM_ROWS, 0)
        batches = made["batches"]
        return sum(trainer.step([batches.at(i)], i)[0] for i in range(len(batches)))

    return epoch


def padded_epoch(model, tokenizer):
    """An epoch as the hub's run_mlm --line_by_line makes it: shuffled, padded to the longest, every position scored."""
    import torch
    from transformers import DataCollatorForLanguageModeling

    collate, step = DataCollatorForLanguageModeling(tokenizer), torch_step(model)
    made = {}

    def epoch(texts):
        if not made:
            encoded = tokenizer(texts, truncation=True, max_length=MAX_LENGTH, return_special_tokens_mask=True)
            rows = [dict(zip(encoded, row, strict=True)) for row in zip(*encoded.values(), strict=True)]
            made["loader"] = torch.utils.data.DataLoader(rows, MLM_TEXTS, shuffle=True, collate_fn=collate)
        return sum(step({name: value.numpy() for name, value in batch.items()}) for batch in made["loader"])

    return epoch


def torch_step(model, _=None):
    """A training step in PyTorch."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)

    def step(inputs):
        model.train()
        optimizer.zero_grad()
        loss = model(**{name: torch.from_numpy(value) for name, value in inputs.items()}).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def jax_step(model, _=None):
    """A jitted training step with optax; both Flax classes are called alike."""
    import jax
    import optax

    optimizer = optax.adamw(LEARNING_RATE)

    @jax.jit
    def update(params, state, inputs, labels, key):
        def loss_of(params):
            logits = model(**inputs, params=params, train=True, dropout_rng=key).logits
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        loss, gradients = jax.value_and_grad(loss_of)(params)
        changes, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, changes), state, loss

    training = {"params": model.params, "state": optimizer.init(model.params), "key": jax.random.PRNGKey(0)}

    def step(inputs):
        inputs = {name: value.astype(np.int32) for name, value in inputs.items()}
        labels = inputs.pop("labels")
        training["key"], key = jax.random.split(training["key"])
        training["params"], training["state"], loss = update(training["params"], training["state"], inputs, labels, key)
        return float(loss)

    return step


def keras_step(model, library):
    """What `fit` does with a batch, in Keras 3 or in tf-keras."""
    keras = importlib.import_module(library)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.AdamW(LEARNING_RATE), loss=loss)

    def step(inputs):
        features = {name: value.astype(np.int32) for name, value in inputs.items()}
        labels = features.pop("labels")
        return float(np.ravel(model.train_on_batch(features, labels))[0])

    return step


def peak_mib() -> float:
    """The most memory that this process had; ru_maxrss would begin with that of its parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024


def main() -> None:
    """Loads, computes once, and then whenever it is told to."""
    job = SimpleNamespace(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values):
        print(json.dumps(values), file=answers, flush=True)

    for module in job.imports if job.timed == "load" else ():
        importlib.import_module(module)
    if job.kind in ("embed", "fill", "tokenise", "generate", "summarize", "train_mlm"):
        inputs = cases.texts(job.rows, job.length, Path(job.folder) / "vocab.txt", mask=job.kind == "fill")
        inputs = inputs[0] if job.rows == 1 else inputs
    else:
        inputs = cases.arrays(job.rows, job.length)
        labels = inputs.pop("labels")
    start = time.perf_counter()
    compute = globals()[job.library](job)
    loaded = time.perf_counter() - start
    if job.kind in ("train", "train_mlm"):
        forward, compute = compute
        output = forward(inputs)
        if job.kind == "train":
            inputs["labels"] = labels
    else:
        output = compute(inputs)
    answer(load=loaded, peak=peak_mib())
    np.save(job.output, np.atleast_2d(np.asarray(output, np.float64)))
    if job.timed == "call":
        compute(inputs)  # what is compiled or traced is so now, after two calls
        start = time.perf_counter()
        compute(inputs)
        once = time.perf_counter() - start
        calls = max(1, int(job.least_seconds / once))
    for line in sys.stdin:
        if line.strip() == "versions":
            from importlib.metadata import version

            names = [name for name in LIBRARIES.split() if name in sys.modules]
            answer(versions={name: version(name.replace("_", "-")) for name in names})
            continue
        if once < LONG:
            compute(inputs)  # while the others had their turns the system may have taken pages of this one
        start = time.perf_counter()
        for _ in range(calls):
            compute(inputs)
        answer(seconds=(time.perf_counter() - start) / calls, calls=calls, peak=peak_mib())


if __name__ == "__main__":
    main()
