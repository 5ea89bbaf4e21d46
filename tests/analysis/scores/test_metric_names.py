"""Which way a metric is better follows from its name, however that is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raykd.analysis.scores.metric_names import (
    LOSSES,
    OTHERS,
    RATES,
    SHARES,
    direction,
    is_share,
    smaller_is_better,
)
from raykd.tasks.kinds.metric import metric_named, metrics
from raykd.tasks.kinds.task_kind import task_kinds

SMALLER = (
    "loss eval_loss test_loss val_loss validation-loss test/loss train.loss evalLoss evalloss Loss "
    "MSELoss mlm_loss log_loss ce CE test_ce cross_entropy Cross-Entropy crossEntropy nll NLL "
    "testNLL negative_log_likelihood ppl val/ppl perplexity Perplexity word_perplexity mse mae "
    "rmse RMSE eval_rmse valMAE mean_squared_error mean_absolute_error bpc bits_per_byte "
    "bits-per-char brier brier_score ece ECE calibration_error error error_rate ErrorRate err "
    "top1_error wer WER cer ter word_error_rate sacrebleu_ter kl kl_div accuracy_loss f1_error "
    "FPR@95TPR fpr_at_95_tpr fpr@tpr95 wer@snr 1-accuracy 1-F1 loss_at_best_accuracy"
).split()
LARGER = (
    "accuracy ACC acc acc_norm eval_accuracy test/accuracy f1 macro_f1 f1_macro F1 bleu bleu4 "
    "sacrebleu chrf chrF chrf++ rouge1 rougeL rouge-l exact_match em matthews MCC pearson r2 auc "
    "AUROC mAP mrr ndcg recall@10 pass@1 log_likelihood neg_log_loss neg_mean_squared_error "
    "lossless_accuracy ce_accuracy reward accuracy_4bit "
    "TPR@FPR=1% tpr_at_fpr_0.01 recall@fpr accuracy_at_eer accuracy_under_error 1-wer eval/1-error "
    "precision@10 hits@1 rouge1 top1_accuracy"
).split()
UNKNOWN = (
    "score quality glue wer_reduction error_drop accuracy_ce accuracy_mse accuracy_gap wer_diff "
    "delta_f1 x 1 _ @ at"
).split()


@pytest.mark.parametrize("name", SMALLER)
def test_smaller_is_better(name: str) -> None:
    assert direction(name) == "smaller" and smaller_is_better(name)


@pytest.mark.parametrize("name", LARGER)
def test_larger_is_better(name: str) -> None:
    assert direction(name) == "larger" and not smaller_is_better(name)


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_name_that_is_not_known_has_no_direction(name: str) -> None:
    assert direction(name) is None and not smaller_is_better(name) and not is_share(name)


prefixes = st.sampled_from(["eval", "test", "val", "dev", "valid", "train", "final", "mean"])
separators = st.sampled_from(["_", "/", "-", " ", ".", ":"])
cases = st.sampled_from([str.lower, str.upper, str.title])


@given(st.sampled_from(sorted(LOSSES | RATES | SHARES | OTHERS)), prefixes, separators, cases)
def test_prefix_separator_and_case_change_nothing(name, prefix, separator, case) -> None:  # type: ignore[no-untyped-def]
    written = case(f"{prefix}{separator}{name}")
    assert direction(written) == direction(name) is not None
    assert is_share(written) == is_share(name)


@given(st.text(max_size=20))
def test_any_text_is_a_name(name: str) -> None:
    assert direction(name) in ("larger", "smaller", None)


def test_the_sets_are_apart() -> None:
    sets = [LOSSES, RATES, SHARES, OTHERS]
    assert sum(map(len, sets)) == len(frozenset().union(*sets))


def test_the_metrics_of_sweeps_have_the_direction_and_unit_that_they_register() -> None:
    for name in {name for kind in task_kinds() for name in metrics(kind)}:
        metric = metric_named(name)
        assert direction(name) == ("larger" if metric.sign > 0 else "smaller"), name
        assert is_share(name) == metric.percent, name
