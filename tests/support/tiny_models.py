"""Tiny random classifiers of every model family the conformance suite covers."""

from __future__ import annotations

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

KINDS = ("bert", "roberta", "distilbert", "electra", "deberta", "mpnet")


def tiny_model(
    kind: str,
    blocks: int = 6,
    width: int = 32,
    labels: int = 3,
    vocab: int = 99,
    seed: int = 0,
    dropout: float = 0.1,
) -> PreTrainedModel:
    """Four heads, feed-forward of twice the width, 64 positions; in eval mode."""
    common = {"vocab_size": vocab, "num_labels": labels, "pad_token_id": 0}
    usual = {
        **common,
        "hidden_size": width,
        "num_hidden_layers": blocks,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
        "max_position_embeddings": 64,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel
        if kind == "bert":
            model = BertForSequenceClassification(BertConfig(**usual))
        elif kind == "roberta":
            model = RobertaForSequenceClassification(RobertaConfig(**usual))
        elif kind == "electra":  # embeddings of their own width, projected into the blocks
            model = ElectraForSequenceClassification(ElectraConfig(**usual, embedding_size=16))
        elif kind == "deberta":  # relative positions shared by all blocks, and a convolution
            deberta_config = DebertaV2Config(
                **usual, relative_attention=True, position_buckets=8, max_relative_positions=16,
                pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm", share_att_key=True,
                conv_kernel_size=3, conv_act="gelu",
            )  # fmt: skip
            model = DebertaV2ForSequenceClassification(deberta_config)
        elif kind == "mpnet":  # one position bias shared by all blocks
            model = MPNetForSequenceClassification(MPNetConfig(**{**usual, "pad_token_id": 1}))
        elif kind == "distilbert":
            distilbert_config = DistilBertConfig(
                **common, dim=width, n_layers=blocks, n_heads=4, hidden_dim=2 * width,
                max_position_embeddings=64, dropout=dropout, attention_dropout=dropout,
                seq_classif_dropout=dropout,
            )  # fmt: skip
            model = DistilBertForSequenceClassification(distilbert_config)
        else:
            raise ValueError(kind)
    return model.eval()
