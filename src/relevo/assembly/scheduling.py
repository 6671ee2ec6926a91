"""How a home's engine schedules: `scheduling.toml` in it, read when an engine starts. Without it, as one machine needs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from relevo.domain.errors import UserError

if TYPE_CHECKING:
    from relevo.scheduler.policy import Policy, Weights

FILE: Final = "scheduling.toml"
_ORDERS: Final = ("turns", "arrival", "deadline")
_KEYS: Final = (
    *("order", "fair", "ageing", "reserve-after", "preempt", "preempt-grace"),
    *("impossible", "placement", "tenants", "policy"),
)
_IMPOSSIBLE: Final = ("fail", "wait")
#: A weight of a reason to prefer an agent, at most.
WEIGHT_LIMIT: Final = 1_000
#: What jobs get to end in for others, unless it is said.
PREEMPT_GRACE_S: Final = 30.0
#: Tenants that may be named.
TENANTS_LIMIT: Final = 10_000


def policy_of(home: str) -> Policy | None:
    """The policy of a home, None where it has none of its own. Raises UserError, saying what is wrong where."""
    path = f"{home}/{FILE}"
    return policy_at(path) if os.path.exists(path) else None


def policy_at(path: str) -> Policy:
    """The policy that a file says. Raises UserError, saying what is wrong where."""
    import tomllib

    try:
        with open(path, "rb") as file:
            read = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    try:
        return _policy(read, os.path.dirname(os.path.abspath(path)))
    except ValueError as error:
        raise UserError(f"{path}: {error}", hint="docs/scheduling.md lists what can be set") from None


def _policy(read: dict[str, Any], home: str) -> Policy:
    from relevo.scheduler.policy import Policy
    from relevo.workflow.quantities import seconds

    _only(read, _KEYS, "")
    order = _one_of("order", read.get("order", "turns"), _ORDERS)
    fair = read.get("fair", False)
    if not isinstance(fair, bool):
        raise ValueError("fair is true or false")
    tenants = read.get("tenants", {})
    if not isinstance(tenants, dict) or len(tenants) > TENANTS_LIMIT:
        raise ValueError(f"tenants is a table of at most {TENANTS_LIMIT:,}")
    ageing = read.get("ageing")
    after = read.get("reserve-after")
    policy = Policy(
        order=order,
        fair=fair,
        ageing_s=0.0 if ageing is None else max(1.0, seconds(str(ageing))),
        reserve_after_s=None if after is None else seconds(str(after)),
        shares={name: _share(name, table) for name, table in tenants.items()},
        placement=_weights(read["placement"]) if "placement" in read else None,
        impossible=_one_of("impossible", read.get("impossible", "fail"), _IMPOSSIBLE),
        preempt_grace_s=_preempt_grace_s(read),
    )
    if "policy" in read:
        from relevo.scheduler.custom import Guard

        policy = policy._replace(custom=Guard(_loaded(str(read["policy"]), home)))
    return policy


def _one_of(key: str, value: Any, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise ValueError(f"{key} is one of {', '.join(choices)}")
    return value


def _weights(table: Any) -> Weights:
    """How much each reason counts. What jobs say comes before what operators weigh, unless they weigh that, too."""
    from relevo.scheduler.policy import Weights

    if not isinstance(table, dict):
        raise ValueError("placement is a table")
    _only(table, ("pack", "spread", "least-loaded", "locality", "prefers"), "placement.")
    for name, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= WEIGHT_LIMIT:
            raise ValueError(f"placement.{name} is a whole number from 0 to {WEIGHT_LIMIT:,}")
    pack, spread, load = (table.get(name, 0) for name in ("pack", "spread", "least-loaded"))
    near = table.get("locality", pack + spread + load + 1)
    return Weights(pack, spread, load, near, table.get("prefers", pack + spread + load + near + 1))


def _preempt_grace_s(read: dict[str, Any]) -> float | None:
    from relevo.workflow.quantities import seconds

    preempt = read.get("preempt", False)
    if not isinstance(preempt, bool):
        raise ValueError("preempt is true or false")
    grace_s = seconds(str(read.get("preempt-grace", PREEMPT_GRACE_S)))
    if not 0 < grace_s <= 3_600:
        raise ValueError("preempt-grace is a time of up to 1h")
    return grace_s if preempt else None


def _share(name: str, table: Any) -> Any:
    from relevo.scheduler.policy import Share

    if not isinstance(table, dict):
        raise ValueError(f"tenants.{name} is a table")
    _only(table, ("weight", "quota", "guaranteed"), f"tenants.{name}.")
    weight = table.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1e6:
        raise ValueError(f"tenants.{name}.weight is a number above 0")
    return Share(float(weight), _limits(table, name, "quota"), _limits(table, name, "guaranteed"))


def _limits(table: dict[str, Any], tenant: str, key: str) -> dict[str, float]:
    from relevo.workflow import quantities

    named = table.get(key, {})
    if not isinstance(named, dict):
        raise ValueError(f"tenants.{tenant}.{key} is a table")
    found: dict[str, float] = {}
    for name, value in named.items():
        text = str(value)
        if name == "memory":
            found[name] = quantities.memory_bytes(text)
        elif name in ("cpu", "jobs"):
            found[name] = quantities.amount("cpu", text)
        else:
            found[name.lower()] = quantities.amount(name.lower(), text)
    return found


def _loaded(named: str, home: str) -> Any:
    """An object of the class that `file.py:Class` names, the file beside scheduling.toml."""
    import importlib.util

    from relevo.scheduler.custom import CustomPolicy

    file, colon, name = named.partition(":")
    if not colon:
        raise ValueError(f"policy = '{named}': write file.py:Class")
    path = os.path.join(home, file)
    spec = importlib.util.spec_from_file_location("relevo_custom_policy", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"policy: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        made = getattr(module, name)()
    except Exception as error:
        raise ValueError(f"policy: {named} cannot be made: {type(error).__name__}: {error}") from None
    if not isinstance(made, CustomPolicy):
        raise ValueError(f"policy: {named} does not derive from relevo.scheduler.custom.CustomPolicy")
    return made


def _only(table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ValueError(f"{where}{unknown[0]} is not known; there are: {', '.join(known)}")
