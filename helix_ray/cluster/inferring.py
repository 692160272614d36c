"""Inferences from Python: as tasks, and as one call that gives arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack, cast

from helix_ray.cluster.current import connected
from helix_ray.cluster.options import Options, spec_of
from helix_ray.core.gathering import VALUES
from helix_ray.core.inference_result import InferenceResult
from helix_ray.core.inference_run import inference_run
from helix_ray.core.specs import OutputFormat, Precision, TaskSpec
from helix_ray.core.values import shown_text
from helix_ray.inference.sending import encoded

if TYPE_CHECKING:
    from helix_ray.cluster.handles import Handle
    from helix_ray.inference.tensors import Array


@dataclass(frozen=True, slots=True)
class Inferred:
    """What a model said of all rows, in order: its outputs as arrays by name, and how they came about.

    `said` is the result of the task without its values: `model`, `version`, `rows`, and `variant`,
    `provider`, `arithmetic`, `batch`, `duration_ms`, or, of a sharded one, `precisions` and `shards`.
    """

    outputs: dict[str, Array]
    said: InferenceResult

    def __getitem__(self, name: str) -> Array:
        """Return one output."""
        return self.outputs[name]


class InferenceCalls:
    """The calls of a Cluster that run models."""

    if TYPE_CHECKING:

        def submit_specs(self, specs: Sequence[TaskSpec]) -> list[Handle]: ...

        def cancel(self, handles: Iterable[Handle]) -> None: ...

        @staticmethod
        def accepted(handles: list[Handle]) -> Handle: ...

    def inference(
        self,
        model: str,
        inputs: Any = None,
        outputs: Sequence[str] = (),
        *,
        dataset: str | None = None,
        input_uri: str | None = None,
        batch_size: int | None = None,
        precision: Precision | None = None,
        output: OutputFormat | None = None,
        **options: Unpack[Options],
    ) -> Handle:
        """Run a model, `name` or `name@version`, on numpy arrays or nested lists (or either by input name),
        on a data set (its digest), or on a file that the nodes can read.

        Its value is a dict with `outputs` (or `files`), `shapes`, `rows`, `precision`, `provider`,
        `duration_ms` and more. With `shards` the rows are split, and the value is that of all of them.
        """
        run = inference_run(
            model,
            encoded(inputs),
            outputs,
            dataset=dataset,
            input_uri=input_uri,
            batch_size=batch_size,
            precision=precision,
            output=output,
        )
        return self.accepted(self.submit_specs([spec_of(run, shown_text(model), options)]))

    def infer(
        self,
        model: str,
        inputs: Any = None,
        outputs: Sequence[str] = (),
        *,
        dataset: str | None = None,
        input_uri: str | None = None,
        batch_size: int | None = None,
        precision: Precision | None = None,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Inferred:
        """Run a model as `inference` does, wait for it, and return arrays.

        Raises what `Handle.result` raises. A task that is not waited for any more is cancelled.
        """
        from helix_ray.inference.outputs import arrays_of

        handle = self.inference(
            model,
            inputs,
            outputs,
            dataset=dataset,
            input_uri=input_uri,
            batch_size=batch_size,
            precision=precision,
            output="npy",
            **options,
        )
        try:
            result = handle.value(timeout)
        except (TimeoutError, KeyboardInterrupt):
            self.cancel([handle])
            raise
        said = {name: value for name, value in result.items() if name not in VALUES}
        return Inferred(arrays_of(result), cast("InferenceResult", said))


def infer(model: str, inputs: Any = None, **given: Any) -> Inferred:
    """Run a model on the cluster of the last `connect`, and return arrays; Cluster.infer lists the
    arguments."""
    return connected().infer(model, inputs, **given)
