"""Parameter names of the authors' VideoMAE (MCG-NJU/VideoMAE), pre-training and fine-tuning networks."""

from wsvad_lightning.interop.weights import KeyTable


def _layers(authors: str, ours: str) -> tuple[tuple[str, str], ...]:
    return (
        (f"{authors}.*.norm1", f"{ours}.*.attention_norm"),
        (f"{authors}.*.attn.q_bias", f"{ours}.*.attention.query_bias"),
        (f"{authors}.*.attn.v_bias", f"{ours}.*.attention.value_bias"),
        (f"{authors}.*.attn.qkv", f"{ours}.*.attention.project_in"),
        (f"{authors}.*.attn.proj", f"{ours}.*.attention.project_out"),
        (f"{authors}.*.norm2", f"{ours}.*.mlp_norm"),
        (f"{authors}.*.mlp.fc1", f"{ours}.*.mlp.0"),
        (f"{authors}.*.mlp.fc2", f"{ours}.*.mlp.3"),
    )


TABLE = KeyTable(
    (
        ("mask_token", "mask_token"),
        ("encoder.patch_embed.proj", "encoder.embedding"),
        *_layers("encoder.blocks", "encoder.stack.layers"),
        ("encoder.norm", "encoder.norm"),
        ("encoder_to_decoder", "to_decoder"),
        *_layers("decoder.blocks", "decoder.layers"),
        ("decoder.norm", "decoder_norm"),
        ("decoder.head", "head"),
    )
)

FINE_TUNED = KeyTable(
    (
        ("patch_embed.proj", "encoder.embedding"),
        *_layers("blocks", "encoder.stack.layers"),
        ("fc_norm", "norm"),
        ("head", "head"),
    )
)
