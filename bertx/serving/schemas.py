"""The bodies of requests and answers: what is checked, and what the OpenAPI document says.

Those of text-embeddings-inference and of OpenAI have their names; the others are made alike.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Text = Annotated[str, StringConstraints(strict=True)]
Texts = Annotated[list[Text], Field(min_length=1)]
Flag = Annotated[bool, Field(strict=True)]
Id = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Ids = Annotated[list[Id], Field(min_length=1)]
Pair = Annotated[list[Text], Field(min_length=2, max_length=2)]
Count = Annotated[int, Field(strict=True, ge=1, le=1000)]
Length = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
OneOrMany = Text | Ids | Annotated[list[Text | Ids], Field(min_length=1)]


def _with_parameters(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Tells of "parameters" in the schema of a body that has no such field of its own."""
    told = "Options, which may be in here or in the body itself; as huggingface_hub's client sends them."
    schema["properties"].setdefault("parameters", {"type": "object", "description": told})


class Body(BaseModel):
    """What every request may have: the model that is meant. A field that is not known is refused by name."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_with_parameters)

    model: Text | None = Field(None, description="The name of a model, where several are served.")

    @model_validator(mode="before")
    @classmethod
    def _options_in_parameters(cls, body: Any) -> Any:
        """huggingface_hub's client puts the options of most tasks into "parameters", which it sends empty as well."""
        if (
            "parameters" in cls.model_fields
            or not isinstance(body, dict)
            or not isinstance(body.get("parameters"), dict)
        ):
            return body
        rest = {name: value for name, value in body.items() if name != "parameters"}
        if twice := sorted(rest.keys() & body["parameters"].keys()):
            raise ValueError(f"{', '.join(twice)[:200]}: given in the body and in parameters, give it once")
        return {**rest, **body["parameters"]}


class Truncating(Body):
    """A request whose texts may be longer than the model takes."""

    truncate: Flag | None = Field(None, description="false: a text that is longer than the model takes is an error.")
    truncation_direction: Literal["Right", "right"] = Field("Right", description="Texts are cut at their end.")


class EmbedAllRequest(Truncating):
    """Texts, or their ids."""

    inputs: OneOrMany = Field(examples=["What is deep learning?"])
    prompt_name: Text | None = Field(None, description="One of the checkpoint's prompts, such as query.")


class EmbedRequest(EmbedAllRequest):
    """Texts, or their ids, whose embeddings are wanted."""

    normalize: Flag = Field(True, description="Whether embeddings are scaled to length 1.")
    dimensions: Count | None = Field(None, description="How many values of an embedding are kept.")


class SimilarityInput(BaseModel):
    """A text, and those that it is compared with."""

    model_config = ConfigDict(extra="forbid")

    source_sentence: Text = Field(examples=["What is deep learning?"])
    sentences: Texts = Field(examples=[["What is machine learning?"]])


class SimilarityParameters(BaseModel):
    """How the texts are read."""

    model_config = ConfigDict(extra="forbid")

    truncate: Flag | None = None
    truncation_direction: Literal["Right", "right"] = "Right"
    prompt_name: Text | None = None


class SimilarityRequest(Body):
    """A text, and those that it is compared with."""

    inputs: SimilarityInput
    parameters: SimilarityParameters | None = None


PredictInput = (
    Text | Pair | Annotated[list[Annotated[list[Text], Field(min_length=1, max_length=2)]], Field(min_length=1)]
)


class PredictRequest(Truncating):
    """A text; a pair of texts; or a list of both, each a list of one or two."""

    inputs: PredictInput = Field(examples=["I like you."])
    raw_scores: Flag = Field(False, description="Whether scores are the model's logits.")


class RerankRequest(Truncating):
    """A query, and the texts that are ordered by how well they answer it."""

    query: Text = Field(examples=["What is deep learning?"])
    texts: Texts = Field(examples=[["Deep learning is a part of machine learning."]])
    raw_scores: Flag = False
    return_text: Flag = False


class TokenizeRequest(Body):
    """Texts."""

    inputs: Text | Texts = Field(examples=["What is deep learning?"])
    add_special_tokens: Flag = True
    prompt_name: Text | None = None


class DecodeRequest(Body):
    """The ids of one text, or of several."""

    ids: Ids | Annotated[list[Ids], Field(min_length=1)] = Field(examples=[[101, 102]])
    skip_special_tokens: Flag = True


class OpenAIRequest(Body):
    """Texts, or their ids, as OpenAI's embeddings take them."""

    input: OneOrMany = Field(examples=["What is deep learning?"])
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = None
    user: Text | None = None


class FillMaskRequest(Truncating):
    """Texts with at least one mask token."""

    inputs: Text | Texts = Field(examples=["Paris is the [MASK] of France."])
    top_k: Count = 5
    targets: Texts | None = Field(None, description="Only these words are ranked.")


class TagRequest(Body):
    """Texts whose names and phrases are found."""

    inputs: Text | Texts = Field(examples=["Ada Lovelace lived in London."])
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = "simple"
    ignore_labels: list[Text] = ["O"]
    stride: Length | None = None


class Question(BaseModel):
    """A question, and the text that answers it."""

    model_config = ConfigDict(extra="forbid")

    question: Text = Field(examples=["Who lived in London?"])
    context: Text = Field(examples=["Ada Lovelace lived in London."])


class AnswerRequest(Body):
    """Questions with their contexts."""

    inputs: Question | Annotated[list[Question], Field(min_length=1)]
    top_k: Count = 1
    handle_impossible_answer: Flag = False
    max_answer_len: Count = 15


class Choices(BaseModel):
    """A question, and the answers that it has."""

    model_config = ConfigDict(extra="forbid")

    question: Text = Field(examples=["Who barks?"])
    choices: Annotated[list[Text], Field(min_length=2, max_length=100)] = Field(examples=[["the dog", "the cat"]])


class ChooseRequest(Body):
    """Questions with their choices."""

    inputs: Choices | Annotated[list[Choices], Field(min_length=1)]


class NextSentenceRequest(Body):
    """A pair of texts, or several."""

    inputs: Pair | Annotated[list[Pair], Field(min_length=1)] = Field(examples=[["It rained.", "Nobody minded."]])


class ZeroShotRequest(Body):
    """Texts, and the labels that are ranked for them."""

    inputs: Text | Texts = Field(examples=["The dog barks."])
    candidate_labels: Annotated[list[Text], Field(min_length=1, max_length=100)] = Field(
        examples=[["animals", "politics"]]
    )
    hypothesis_template: Text = "This example is {}."
    multi_label: Flag = False


class GenerateRequest(Body):
    """Prompts that a causal model continues."""

    inputs: Text | Texts = Field(examples=["The dog"])
    max_new_tokens: Count | None = None
    min_new_tokens: Length | None = None
    num_beams: Annotated[int, Field(strict=True, ge=1, le=32)] | None = None
    num_beam_groups: Annotated[int, Field(strict=True, ge=1, le=32)] | None = None
    diversity_penalty: Number | None = None
    num_return_sequences: Annotated[int, Field(strict=True, ge=1, le=32)] | None = None
    length_penalty: Number | None = None
    repetition_penalty: Number | None = None
    no_repeat_ngram_size: Length | None = None
    stop_strings: Texts | None = None
    do_sample: Flag | None = None
    temperature: Number | None = None
    top_k: Count | None = None
    top_p: Number | None = None
    min_p: Number | None = None
    typical_p: Number | None = None
    seed: Length | None = None


class SummarizeRequest(GenerateRequest):
    """Documents, of each of which an encoder-decoder writes a summary."""

    inputs: Text | Texts = Field(examples=["Ada Lovelace lived in London, and wrote the first program there."])
    encoder_no_repeat_ngram_size: Length | None = None
    truncate: Flag | None = Field(None, description="false: a text that is longer than the model takes is an error.")


class VertexRequest(Body):
    """Requests of the model's own route, as Vertex AI sends them."""

    instances: Annotated[list[dict[str, Any]], Field(min_length=1)]
    parameters: dict[str, Any] | None = Field(None, description="Not taken: each instance has its own.")


# --- answers --------------------------------------------------------------------------------------

Embeddings = list[list[float]]
TokenVectors = list[list[list[float]]]


class Prediction(BaseModel):
    """A label and its score."""

    label: str
    score: float


class Rank(BaseModel):
    """A text's place in the request, and its score."""

    index: int
    score: float
    text: str | None = None


class Token(BaseModel):
    """A token, and the characters of the text that it is."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class OpenAIEmbedding(BaseModel):
    """One embedding: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"]
    embedding: list[float] | str
    index: int


class OpenAIUsage(BaseModel):
    """How many tokens the model read."""

    prompt_tokens: int
    total_tokens: int


class OpenAIResponse(BaseModel):
    """What OpenAI's clients read."""

    object: Literal["list"]
    data: list[OpenAIEmbedding]
    model: str
    usage: OpenAIUsage


class ErrorResponse(BaseModel):
    """What was wrong."""

    error: str
    error_type: Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer"]


class OpenAIErrorDetail(BaseModel):
    """What was wrong, as OpenAI's clients read it."""

    message: str
    type: str
    code: int


class OpenAIErrorResponse(BaseModel):
    """What was wrong, as OpenAI's clients read it."""

    error: OpenAIErrorDetail
