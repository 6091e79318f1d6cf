"""Words of several concepts in the same encoders: each by itself, or all in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tireg.models.bases import Base
from tireg.models.readings import Reading
from tireg.models.tokens import TokenRows, attach_rows, original_tokenizer
from tireg.training.data import Batch
from tireg.training.loop import Run


@dataclass(frozen=True)
class Seat:
    """The words that a base has at one moment, to be put back whenever they are needed.

    ``wrappers`` and ``loaded`` are by encoder key, ``tokenizers`` by component.
    """

    wrappers: Mapping[str, TokenRows]
    tokenizers: Mapping[str, Any]
    loaded: Mapping[str, Any]

    @classmethod
    def of(cls, base: Base) -> Seat:
        """What ``base`` has now; every encoder must have words."""
        encoders = base.encoders.items()
        return cls(
            {key: e.model.get_input_embeddings() for key, e in encoders},
            {e.tokenizer_component: getattr(base.pipe, e.tokenizer_component) for _, e in encoders},
            {key: e.model.tireg_loaded for key, e in encoders},
        )

    def take(self, base: Base) -> None:
        """Give ``base`` these words, and no others; the rows are the same parameters as before."""
        _attach(base, self.wrappers)
        for key, encoder in base.encoders.items():
            encoder.model.tireg_loaded = self.loaded[key]
            component = encoder.tokenizer_component
            setattr(base.pipe, component, self.tokenizers[component])


class JointRows:
    """The rows of several runs behind one another in one table, and their prompts likewise.

    So one pass of a text encoder reads prompts of all runs, each with its own rows. The table is
    a copy: :meth:`refresh` takes the rows as they are, :meth:`give` hands gradients back.
    """

    def __init__(self, base: Base, runs: Sequence[Run]) -> None:
        """``runs`` are of ``base``; their prompts were read for it, so that all are as long."""
        self.base, self.runs = base, runs
        self.way = runs[0].objective.conditioning.way
        self.wrappers: dict[str, TokenRows] = {}
        self.readings: dict[str, Reading] = {}
        self.spans: dict[str, list[slice]] = {}
        for key in base.encoders:
            self._join(key)
        counts = [len(next(iter(self._readings(run).values())).ids) for run in runs]
        self.prompts = [sum(counts[:number]) for number in range(len(runs))]

    def _join(self, key: str) -> None:
        own = [run.wrappers[key] for run in self.runs]
        first, ids, masks, spans, start = own[0].first, [], [], [], 0
        for run, wrapper in zip(self.runs, own, strict=True):
            reading = self._readings(run)[key]
            # A run's ids count its rows from 0; here they stand behind those of the runs before.
            ids.append(reading.ids + (reading.ids >= first) * start)
            masks.append(reading.mask)
            spans.append(slice(start, start + len(wrapper.rows)))
            start += len(wrapper.rows)
        rows = torch.nn.Parameter(torch.cat([w.rows.detach() for w in own]))
        self.wrappers[key] = TokenRows(own[0].table, rows, first)
        self.readings[key] = Reading(torch.cat(ids), torch.cat(masks))
        self.spans[key] = spans

    @staticmethod
    def _readings(run: Run) -> dict[str, Reading]:
        return run.objective.conditioning.readings

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the runs' rows as they are now, and have the base read from them."""
        for key, wrapper in self.wrappers.items():
            for run, span in zip(self.runs, self.spans[key], strict=True):
                wrapper.rows[span] = run.wrappers[key].rows
        if not _are_on(self.base, self.wrappers):
            _attach(self.base, self.wrappers)

    def condition(self, numbers: Sequence[int], batches: Sequence[Batch]) -> dict[str, Any]:
        """What the denoiser takes for ``batches`` of one size, of the runs ``numbers``."""
        index = [b.prompts + self.prompts[n] for n, b in zip(numbers, batches, strict=True)]
        return self.way(self.base, self.readings, torch.cat(index), batches[0].size)

    def give(self, numbers: Sequence[int], total: torch.Tensor) -> None:
        """Add the gradients of ``total`` to the rows of the runs ``numbers``."""
        keys = list(self.wrappers)
        tables = [self.wrappers[key].rows for key in keys]
        # Where no gradient flows at all it is zero, which a run's first step tells.
        found = torch.autograd.grad(total, tables, materialize_grads=True)
        for key, gradient in zip(keys, found, strict=True):
            for number in numbers:
                rows, own = self.runs[number].wrappers[key].rows, gradient[self.spans[key][number]]
                rows.grad = own.clone() if rows.grad is None else rows.grad + own


def _attach(base: Base, wrappers: Mapping[str, TokenRows]) -> None:
    for key, encoder in base.encoders.items():
        wrapper = wrappers[key]
        end = original_tokenizer(encoder.tokenizer).eos_token_id
        attach_rows(encoder.model, wrapper.rows, wrapper.first, end)


def _are_on(base: Base, wrappers: Mapping[str, TokenRows]) -> bool:
    return all(
        getattr(encoder.model.get_input_embeddings(), "rows", None) is wrappers[key].rows
        for key, encoder in base.encoders.items()
    )
