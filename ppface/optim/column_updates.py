"""Optimizers that can update some columns of a parameter, and leave the others with their momentum and weight decay untouched."""

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle.base.framework import EagerParamBase

from ppface.ops.column_access import put, take


@dataclass
class Part:
    """Columns of a parameter that are trained as a tensor of their own until the next step.

    Attributes:
        whole: (D, C), the parameter; it receives no gradient.
        columns: (n,) int64, increasing.
        values: (D, n), a parameter of its own.
    """

    whole: paddle.Tensor
    columns: paddle.Tensor
    values: EagerParamBase


class ColumnUpdates:
    """Mixin for an optimizer of Paddle: `part` copies columns of a parameter, `step` updates them and writes them back.

    The same columns of the optimizer's state (momentum, moments) are copied for the update, so that every update rule of Paddle works
    unchanged, a step costs in proportion to its columns, and checkpoints find the whole state in its usual place. A parameter
    with `column_updates = True` gets a weak reference to its optimizer in `updated_by`.
    """

    _parameter_list: list
    _accumulators: Any  # kind -> parameter name -> tensor
    _already_create_accumulator: set

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._parts: list[Part] = []
        for parameter in self._parameter_list:
            if getattr(parameter, "column_updates", False):
                parameter.updated_by = weakref.ref(self)

    def part(self, whole: paddle.Tensor, columns: paddle.Tensor) -> paddle.Tensor:
        """whole[:, columns] as a tensor whose gradient updates those columns in the next step.

        Shape:
            (D, C), (n,) int64, increasing -> (D, n)
        """
        options = {key: getattr(whole, key) for key in ("optimize_attr", "regularizer", "need_clip") if hasattr(whole, key)}
        values = EagerParamBase.from_tensor(take(whole, columns), name=f"{whole.name}.part", trainable=True, **options)
        self._parts.append(Part(whole, columns, values))
        self._parameter_list.append(values)
        return values

    @paddle.no_grad()
    def step(self) -> None:
        """One update of all parameters with gradients and of all parts."""
        parts = self._merged()
        for part in parts:
            self._take_state(part)
        super().step()  # type: ignore[misc]
        for part in parts:
            self._put_back(part)
        self._discard_parts()

    def clear_grad(self, set_to_zero: bool = True) -> None:
        """Clears all gradients and discards the parts."""
        self._discard_parts()
        super().clear_grad(set_to_zero)  # type: ignore[misc]

    def _discard_parts(self) -> None:
        discarded = {id(part.values) for part in self._parts}
        self._parameter_list[:] = [parameter for parameter in self._parameter_list if id(parameter) not in discarded]
        self._parts = []

    def _merged(self) -> list[Part]:
        """One part for each parameter, with the gradients of all its parts since the last step."""
        used = [part for part in self._parts if part.values.grad is not None]
        merged = []
        for whole in {id(part.whole): part.whole for part in used}.values():
            parts = [part for part in used if part.whole is whole]
            merged.append(parts[0] if len(parts) == 1 else self._union(whole, parts))
        self._discard_parts()
        self._parts = merged
        self._parameter_list.extend(part.values for part in merged)
        return merged

    def _union(self, whole: paddle.Tensor, parts: list[Part]) -> Part:
        columns = paddle.to_tensor(np.unique(np.concatenate([part.columns.numpy() for part in parts])))
        self.part(whole, columns)
        union = self._parts.pop()
        self._parameter_list.pop()
        grad = paddle.zeros_like(union.values)
        for part in parts:
            position = paddle.searchsorted(columns, part.columns)
            assert part.values.grad is not None
            put(grad, position, take(grad, position) + part.values.grad)
        union.values.grad = grad
        return union

    def _take_state(self, part: Part) -> None:
        block = paddle.static.default_main_program().global_block()
        self._create_accumulators(block, [part.whole])  # type: ignore[attr-defined]
        for table in self._accumulators.values():
            if part.whole.name in table:
                state = table[part.whole.name]
                table[part.values.name] = take(state, part.columns) if state.shape == part.whole.shape else state
        self._already_create_accumulator.add(part.values.name)

    def _put_back(self, part: Part) -> None:
        put(part.whole, part.columns, part.values)
        for table in self._accumulators.values():
            state = table.pop(part.values.name, None)
            if state is not None and state is not table[part.whole.name]:
                put(table[part.whole.name], part.columns, state)
        self._already_create_accumulator.discard(part.values.name)


class SGD(ColumnUpdates, paddle.optimizer.SGD):
    """paddle.optimizer.SGD, with updates of single columns."""


class Momentum(ColumnUpdates, paddle.optimizer.Momentum):
    """paddle.optimizer.Momentum, with updates of single columns."""


class RMSProp(ColumnUpdates, paddle.optimizer.RMSProp):
    """paddle.optimizer.RMSProp, with updates of single columns."""


class Adam(ColumnUpdates, paddle.optimizer.Adam):
    """paddle.optimizer.Adam, with updates of single columns."""


class AdamW(ColumnUpdates, paddle.optimizer.AdamW):
    """paddle.optimizer.AdamW, with updates of single columns."""
