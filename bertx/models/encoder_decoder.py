"""An encoder and a decoder that attends to its states, of any two architectures (Rothe et al. 2020)."""

from . import bert, nn, roberta, xlm_roberta
from .layers.arguments import check_tensors
from .layers.losses import IGNORE_INDEX, cross_entropy
from .layers.outputs import Seq2SeqLMOutput


class EncoderDecoderModel(nn.Model):
    """A model without a head reads a text, and one that predicts the next word writes another.

    Where the sizes differ, `enc_to_dec_proj` takes the encoder's states to the decoder's; with `tie_encoder_decoder` in
    the config both have the same parameters, but for the pooler, cross-attention and what scores words.
    """

    model_type = "encoder-decoder"
    base_model_prefix = ""
    task = "summarization"
    labels = {"labels": ("targets", "decoder_vocab_size")}
    label_aliases = {}
    logit_names = ("logits",)
    scores = "targets"
    causal = True
    label_smoothing = 0.0
    output_class = Seq2SeqLMOutput

    def __init__(self, config):
        super().__init__(config)
        decoder = class_of(config.decoder.model_type, "text-generation")(config.decoder)
        encoder_class = class_of(config.encoder.model_type, "feature-extraction")
        shared = getattr(decoder, decoder.base_model_prefix) if config.tie_encoder_decoder else None
        self.encoder = encoder_class(config.encoder, shared=shared)
        self.decoder = decoder
        size, expected = config.encoder.hidden_size, config.decoder.hidden_size
        self.enc_to_dec_proj = None if size == expected else nn.Linear(size, expected, axes=("embed", "pooled"))
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        decoder_input_ids=None,
        decoder_attention_mask=None,
        *,
        encoder_outputs=None,
        past_key_values=None,
        inputs_embeds=None,
        decoder_inputs_embeds=None,
        labels=None,
        token_type_ids=None,
        position_ids=None,
        decoder_token_type_ids=None,
        decoder_position_ids=None,
        head_mask=None,
        decoder_head_mask=None,
        use_cache=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        mask_positions=None,
    ):
        """A text and what is written of it so far → Seq2SeqLMOutput.

        Args:
            input_ids: [B, S]; or inputs_embeds [B, S, H]. With token_type_ids and position_ids as of BaseModel.
            attention_mask: [B, S], 0 hides a position from the encoder and from the decoder.
            decoder_input_ids: [B, T]; or decoder_inputs_embeds. None with labels: the labels, shifted to the right by
                `shifted`, their padding masked.
            decoder_attention_mask: [B, P + T], P the length of the past.
            encoder_outputs: what the encoder gave, or a tuple that begins with its last_hidden_state, in the place of
                input_ids; attention_mask stays that of the text.
            past_key_values: what was given under this name for the P positions before.
            labels: [B, T], what follows each position of the decoder, −100 where it is not counted.
            head_mask, decoder_head_mask: as head_mask of BaseModel, of the encoder and of the decoder.
            use_cache: whether past_key_values are given.
            mask_positions: [B, K], these positions of the decoder only are scored, K for T in logits and labels.

        Raises:
            ValueError: the text is lacking, or what is written is; decoder_start_token_id or pad_token_id is, for
                labels alone.
        """
        check_tensors(labels=labels, mask_positions=mask_positions, decoder_input_ids=decoder_input_ids)
        flags = {
            "output_attentions": output_attentions or self.config.output_attentions or output_attentions,
            "output_hidden_states": output_hidden_states or self.config.output_hidden_states or output_hidden_states,
        }
        if encoder_outputs is None:
            encoder_outputs = self.encoder(
                input_ids=input_ids,
                attention_mask=attention_mask,
                token_type_ids=token_type_ids,
                position_ids=position_ids,
                inputs_embeds=inputs_embeds,
                head_mask=head_mask,
                **flags,
                return_dict=True,
            )
        states = encoder_outputs[0]
        if labels is not None and decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self.shifted(labels)
            if decoder_attention_mask is None:
                decoder_attention_mask = decoder_input_ids != self.config.pad_token_id
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            raise ValueError("give decoder_input_ids, or decoder_inputs_embeds, or labels, from which they follow")
        written = self.decoder(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            token_type_ids=decoder_token_type_ids,
            position_ids=decoder_position_ids,
            inputs_embeds=decoder_inputs_embeds,
            head_mask=decoder_head_mask,
            encoder_hidden_states=self.projected(states),
            encoder_attention_mask=attention_mask,
            past_key_values=past_key_values,
            use_cache=use_cache if labels is None else False,
            **flags,
            return_dict=True,
            mask_positions=mask_positions,
        )
        output = self.output_class(
            loss=None if labels is None else self.loss_function(written.logits, labels),
            logits=written.logits,
            past_key_values=written.past_key_values,
            decoder_hidden_states=written.hidden_states,
            decoder_attentions=written.attentions,
            cross_attentions=written.cross_attentions,
            encoder_last_hidden_state=states,
            encoder_hidden_states=getattr(encoder_outputs, "hidden_states", None),
            encoder_attentions=getattr(encoder_outputs, "attentions", None),
        )
        return self.returned(output, return_dict)

    def projected(self, states):
        """The encoder's states as the decoder attends to them, [B, S, H of the decoder]."""
        return states if self.enc_to_dec_proj is None else self.enc_to_dec_proj(states)

    def states(self, input_ids, attention_mask):
        """What the encoder gives of texts [B, S], as the decoder attends to it: [B, S, H of the decoder]."""
        return self.projected(self.encoder(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)[0])

    def shifted(self, labels):
        """labels [B, T] → decoder_input_ids [B, T]: decoder_start_token_id, then each label but the last.

        A label of −100 becomes pad_token_id.
        """
        missing = [name for name in ("decoder_start_token_id", "pad_token_id") if getattr(self.config, name) is None]
        if missing:
            raise ValueError(
                f"{' and '.join(missing)} is null in the config, and decoder_input_ids follow from labels by it: set "
                "it, or give decoder_input_ids"
            )
        first = nn.zeros_like(labels[:, :1]) + self.config.decoder_start_token_id
        ids = nn.concat([first, labels[:, :-1]], 1)
        return nn.where(ids == IGNORE_INDEX, nn.zeros_like(ids) + self.config.pad_token_id, ids)

    def loss_function(self, logits, labels):
        """labels [B, T], each what its position scores (−100: not counted) → []."""
        return cross_entropy(logits, labels, smoothing=self.label_smoothing)

    def parts(self):
        """The encoder and the decoder."""
        return self.encoder, self.decoder

    def get_input_embeddings(self):
        """The block of the encoder's word embeddings."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, value):
        """Gives the encoder another block of word embeddings of the same shape."""
        self.encoder.set_input_embeddings(value)

    def get_output_embeddings(self):
        """The block of the decoder that scores words."""
        return self.decoder.get_output_embeddings()

    def resize_token_embeddings(self, *args, **kwargs):
        """Refused: the encoder's and the decoder's vocabularies need not be one.

        Raises:
            ValueError: always.
        """
        raise ValueError("call resize_token_embeddings of model.encoder or of model.decoder: each has a vocabulary")

    def tie_weights(self, **kwargs):
        """Lets what scores words share the decoder's word embeddings again."""
        self.decoder.tie_weights()

    def gradient_checkpointing_enable(self, *args, **kwargs):
        """As of each of the two."""
        for part in self.parts():
            part.gradient_checkpointing_enable(*args, **kwargs)

    def gradient_checkpointing_disable(self):
        """As of each of the two."""
        for part in self.parts():
            part.gradient_checkpointing_disable()

    @property
    def is_gradient_checkpointing(self):
        """Whether the activations of both are computed again in the backward pass."""
        return all(part.is_gradient_checkpointing for part in self.parts())

    def get_encoder(self):
        """The model that reads."""
        return self.encoder

    def get_decoder(self):
        """The model that writes."""
        return self.decoder


def class_of(model_type, task):
    """The class of an architecture that has this task."""
    classes = (value for module in (bert, roberta, xlm_roberta) for value in vars(module).values())
    return next(
        cls for cls in classes if getattr(cls, "model_type", None) == model_type and getattr(cls, "task", None) == task
    )
