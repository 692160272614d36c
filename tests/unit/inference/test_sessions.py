"""A model runs on the provider that was asked for, or not at all."""

from __future__ import annotations

import re

import numpy as np
import pytest

from helix_ray.digits import as_rows, held_out
from helix_ray.inference.errors import BadModelFile, ProviderNotUsed
from helix_ray.inference.onnx import DEFAULT_ROOT
from helix_ray.inference.providers import (
    CPU,
    CUDA,
    PLUGINS,
    find_providers,
    provider_options,
    register_plugins,
)
from helix_ray.inference.sessions import SessionPlan, check_shares, node_shares, open_session, plan_for
from helix_ray.inference.threads import usable_threads

TRANSFORMER = DEFAULT_ROOT / "digits_transformer.onnx"


def test_a_session_has_the_options_of_its_plan() -> None:
    """Its threads are those of the plan and do not spin, and it says what runs its nodes."""
    session = open_session("t", TRANSFORMER, SessionPlan(threads=2))
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert node_shares(session) == {CPU: 1.0}
    rows = as_rows(held_out()[0][:3])
    again = open_session("t", TRANSFORMER.read_bytes(), SessionPlan())
    np.testing.assert_allclose(
        session.run(None, {"rows": rows})[0], again.run(None, {"rows": rows})[0], atol=1e-5
    )


def test_a_missing_provider_is_an_error() -> None:
    """Where ONNX Runtime would warn and run on the CPU, the message says what there is instead."""
    with pytest.raises(ProviderNotUsed, match=f"on {CUDA}, which this runtime does not have; it has .*{CPU}"):
        open_session("digits", TRANSFORMER, SessionPlan(CUDA))


@pytest.mark.parametrize(
    ("active", "nodes", "words"),
    [
        ([CPU], {CPU: {"Conv": 9}}, f"could not be started here; it would run on {CPU}"),
        (
            [CUDA, CPU],
            {CPU: {"Conv": 9}},
            f"runs 0% of its computing nodes, less than 50%; all nodes: {CPU} 100%",
        ),
        ([CUDA, CPU], {CPU: {"Conv": 3, "Shape": 1}, CUDA: {"MatMul": 1, "Concat": 3}}, "runs 25% of"),
        ([CUDA, CPU], {}, "all nodes: unknown"),
    ],
)
def test_a_silent_fallback_is_an_error(
    active: list[str], nodes: dict[str, dict[str, int]], words: str
) -> None:
    """A provider that did not start, or got next to nothing of the model, is named with the shares of all."""
    with pytest.raises(ProviderNotUsed, match=re.escape(words)):
        check_shares("digits", CUDA, active, nodes)


def test_shapes_on_the_cpu_are_no_fallback() -> None:
    """Providers leave the computation of shapes to the CPU; what counts is the rest."""
    nodes = {CUDA: {"MatMul": 2, "Add": 1}, CPU: {"Shape": 8, "Gather": 8, "Concat": 3}}
    check_shares("bert", CUDA, [CUDA, CPU], nodes)
    check_shares("only shapes", CUDA, [CUDA, CPU], {CUDA: {"Shape": 2}})


def test_fp32_is_computed_in_fp32_unless_tf32_is_asked_for() -> None:
    """The CUDA provider's own default is TF32; it is never left to that."""
    assert provider_options(CUDA, 1) == {"use_tf32": "0"}
    assert provider_options(CUDA, 1, tf32=plan_for(variant="tf32").tf32) == {"use_tf32": "1"}
    assert not plan_for(variant="fp16").tf32
    assert plan_for(0.5) == SessionPlan(CPU, 1)
    assert plan_for().threads == usable_threads()


def test_a_file_that_is_no_model() -> None:
    """The message has the name and the runtime's reason."""
    with pytest.raises(BadModelFile, match="model 'x' cannot be loaded: "):
        open_session("x", b"not a model", plan_for())


def test_the_providers_of_this_process() -> None:
    """The CPU's is always there; what would send inputs to a service is left out; a plug-in that is
    installed is registered and either offers a device or says why not, and one that emulates its hardware
    says so."""
    found = {each.name: each for each in find_providers()}
    assert found[CPU].devices == ("cpu",)
    assert (found[CPU].simulated, found[CPU].reason) == (False, None)
    assert "AzureExecutionProvider" not in found
    for plugin in PLUGINS:
        if plugin.provider in register_plugins():
            provider = found[plugin.provider]
            assert bool(provider.devices) != bool(provider.reason)
            assert provider.simulated == (plugin.simulates_on_cpu and provider.devices == ("cpu",))
            if provider.devices and not provider.simulated:
                session = open_session("t", TRANSFORMER, SessionPlan(plugin.provider))
                assert node_shares(session)[plugin.provider] > 0.9
                rows = as_rows(held_out()[0][:16])
                exact = open_session("t", TRANSFORMER, SessionPlan()).run(None, {"rows": rows})[0]
                np.testing.assert_allclose(session.run(None, {"rows": rows})[0], exact, atol=1e-4)
        else:
            assert plugin.provider not in found
