import numpy as np
import pytest

from srrs.methods.stages import MACRO, PROBE, Method, TunerSpec, one_round, read_by, reads
from srrs.records import Group, Matched


def test_a_round_hands_records_and_memory_from_stage_to_stage(evidence, partition, targets) -> None:
    given, verdict, labels = evidence(n=2), partition([Group.CLEAN, Group.NOISY], [0.9, 0.1]), targets([0, 1])

    def screen(found, memory):
        assert found is given
        return verdict, {**memory, "screened": np.ones(1)}

    def rectify(found, screened, memory):
        assert (found, screened) == (given, verdict)
        return labels, {**memory, "rectified": np.ones(1)}

    def rescreen(found, screened, rectified, memory):
        assert (found, screened, rectified) == (given, verdict, labels)
        return Matched(np.array([True, False]), np.array([0.7, 0.2])), {**memory, "matched": np.ones(1)}

    unused = None
    method = Method("mine", (MACRO,), screen, rectify, rescreen, unused, unused, unused)
    found, memory = one_round(method, given, {"before": np.ones(1)})
    assert list(memory) == ["before", "screened", "rectified", "matched"]
    assert (found.evidence, found.partition, found.targets) == (given, verdict, labels)
    np.testing.assert_array_equal(found.quality, verdict.p_clean)
    assert found.noise is verdict.noise


def test_a_stage_reads_what_it_declares_or_else_everything() -> None:
    @reads("features", "match")
    def declared():
        pass

    assert read_by(declared) == {"features", "match"}
    assert read_by(lambda: None) == {"logits", "zero_shot", "features", "class_vectors", "match"}
    with pytest.raises(ValueError, match=r"but got \['loss'\]"):
        reads("logits", "loss")


def test_a_method_reads_the_union_of_its_stages_and_names_its_voters() -> None:
    @reads("features")
    def screen():
        pass

    @reads()
    def other():
        pass

    tuners = MACRO, TunerSpec("adviser", "class-prompt", votes=False), PROBE
    method = Method("mine", tuners, screen, other, other, None, None, None)
    assert method.reads == {"features"}
    assert method.voters == ("macro", "probe")
