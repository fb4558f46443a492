"""Tiny random models of many kinds, lively enough that position, window and context change what they say."""

from __future__ import annotations

VOCAB = 90
WINDOW = 24
COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
GPT = {
    "vocab_size": VOCAB,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 256,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
IDS = {"vocab_size": VOCAB, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
FALCON = {**IDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MOE = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2}
MAMBA = {
    **IDS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "state_size": 8,
    "num_heads": 8,
    "head_dim": 8,
    "n_groups": 1,
}

CONFIGS: dict[str, tuple[str, dict]] = {
    "Llama": ("Llama", COMMON),
    "Qwen2": ("Qwen2", COMMON),
    "Qwen3": ("Qwen3", {**COMMON, "head_dim": 8}),
    "Mistral": ("Mistral", {**COMMON, "sliding_window": None}),
    "Mistral-window": ("Mistral", {**COMMON, "sliding_window": WINDOW}),
    "Phi": ("Phi", COMMON),
    "Phi3": ("Phi3", COMMON),
    "Phi3-window": ("Phi3", {**COMMON, "sliding_window": WINDOW}),
    "Gemma": ("Gemma", {**COMMON, "head_dim": 8}),
    "Gemma2-window": ("Gemma2", {**COMMON, "head_dim": 8, "sliding_window": WINDOW}),
    "Gemma3-window": (
        "Gemma3Text",
        {
            **COMMON,
            "head_dim": 8,
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "StarCoder2": ("Starcoder2", COMMON),
    "Granite": ("Granite", COMMON),
    "SmolLM3": ("SmolLM3", COMMON),
    "Mixtral": ("Mixtral", {**COMMON, **MOE}),
    "OLMoE": ("Olmoe", {**COMMON, **MOE}),
    "DeepSeek-V3": (
        "DeepseekV3",
        {
            **COMMON,
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "num_key_value_heads": 4,
            "moe_intermediate_size": 16,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "n_shared_experts": 1,
            "first_k_dense_replace": 1,
        },
    ),
    "GPT-2": ("GPT2", {**GPT, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}),
    "GPT-Neo": (
        "GPTNeo",
        {
            **IDS,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "max_position_embeddings": 256,
            "attention_types": [[["global", "local"], 1]],
            "window_size": WINDOW,
        },
    ),
    "GPT-NeoX": ("GPTNeoX", COMMON),
    "OPT": ("OPT", {**COMMON, "ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0}),
    "BLOOM": ("Bloom", {**IDS, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "MPT": ("Mpt", {**IDS, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 256}),
    "Falcon-rotary": ("Falcon", {**FALCON, "multi_query": True, "alibi": False, "parallel_attn": True}),
    "Falcon-ALiBi": (
        "Falcon",
        {**FALCON, "multi_query": False, "alibi": True, "parallel_attn": False, "bias": True},
    ),
    "Mamba": ("Mamba", {**IDS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    "LFM2": ("Lfm2", {**COMMON, "layer_types": ["conv", "full_attention"]}),
    "Jamba": (
        "Jamba",
        {
            **COMMON,
            **MOE,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "Bamba": (
        "Bamba",
        {
            **COMMON,
            "attn_layer_indices": [1],
            "mamba_n_heads": 8,
            "mamba_d_head": 8,
            "mamba_d_state": 8,
            "mamba_n_groups": 1,
            "mamba_chunk_size": 16,
        },
    ),
    "Falcon-H1": (
        "FalconH1",
        {
            **COMMON,
            "head_dim": 8,
            "mamba_d_ssm": 64,
            "mamba_n_heads": 8,
            "mamba_d_head": 8,
            "mamba_d_state": 8,
            "mamba_n_groups": 1,
            "mamba_chunk_size": 16,
        },
    ),
    "Gemma3-shell": (
        "Gemma3",
        {
            "text_config": {
                **COMMON,
                "head_dim": 8,
                "sliding_window": WINDOW,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            "image_token_index": 88,
            "boi_token_index": 87,
            "eoi_token_index": 86,
            "mm_tokens_per_image": 4,
        },
    ),
}


def devices() -> list[str]:
    """Where models are tried: on the CPU, and on CUDA where there is one."""
    import torch

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def lively_model(kind: str, seed: int = 0, **more):
    """A model in eval mode without gradients, its matrices scaled up so that each part of the text counts."""
    import torch
    import transformers

    torch.manual_seed(seed)
    family, settings = CONFIGS[kind]
    config = getattr(transformers, f"{family}Config")(**{**settings, **more})
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "A_log" in name:
                p.fill_(-3.0)  # a state that fades slowly
            elif name.endswith(".D"):
                p.fill_(0.05)  # is not drowned by what passes it by
            elif name.endswith(("dt_proj.bias", "dt_bias")):
                p.fill_(1.0)  # and takes in what it reads
            elif p.ndim > 1 and "conv" not in name:
                torch.nn.init.normal_(p, std=0.6 / p.shape[-1] ** 0.5 if "embed" not in name else 0.7)
    return model.float().eval().requires_grad_(False)
