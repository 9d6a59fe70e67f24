"""The registry: every component refuses numbers that are not finite, also where Python calls it."""

import inspect
import math
from typing import get_type_hints

import numpy as np
import pytest

from ppface.core import registry
from ppface.core.config.spec import parameters
from ppface.core.registry import register


def test_every_component_refuses_nan_and_infinity_and_names_the_argument():
    tried = 0
    for kind in registry.PACKAGES:
        for name in registry.names(kind):
            target = registry.find(kind, name)
            numbers = [p.name for p in parameters(target).values() if "float" in str(p.annotation)]
            for argument in numbers:
                for value in (math.nan, -math.inf, np.float32("nan"), [1.0, math.inf]):
                    with pytest.raises(ValueError) as error:
                        target(**{argument: value})
                    assert str(error.value) == f"{name}: expected finite numbers, received {argument}={value}"
                    tried += 1
    assert tried > 700


def test_arguments_by_position_of_subclasses_and_large_integers(monkeypatch):
    monkeypatch.setitem(registry._components, "loss", {})

    @register("loss")
    class Base:
        def __init__(self, size: int, weight: float = 1.0):
            self.size, self.weight = size, weight

    class Other(Base):
        pass

    with pytest.raises(ValueError, match=r"^Other: expected finite numbers, received weight=nan$"):
        Other(10**400, math.nan)
    with pytest.raises(TypeError, match="margin"):
        Other(1, margin=math.nan)
    assert Other(10**400, weight=2).size == 10**400
    assert get_type_hints(Base.__init__) == {"size": int, "weight": float}
    assert str(inspect.signature(Base)) == "(size: int, weight: float = 1.0)"
