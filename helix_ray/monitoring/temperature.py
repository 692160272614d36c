"""How warm the processor is, from the sensors that say so: virtual machines have none."""

from __future__ import annotations

from pathlib import Path

from helix_ray.accelerators.files import entries, number, shown, text

# Sensors of processors, by the names of their drivers; the hottest of them counts.
_DRIVERS = {"coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal"}
_ZONES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal", "acpitz")
_PER_DEGREE = 1000.0
# What a broken sensor says is no temperature.
DEGREES_MIN, DEGREES_MAX = -40.0, 150.0


def temperature(root: Path) -> tuple[float, str] | None:
    """Return degrees Celsius and the file that says so; None where no sensor does."""
    found = [
        (degrees, shown(root, path))
        for sensor in entries(root, "sys/class/hwmon/hwmon*")
        if text(sensor / "name") in _DRIVERS
        for path in entries(sensor, "temp*_input")
        if (degrees := _degrees(path)) is not None
    ]
    if found:
        return max(found)
    for wanted in _ZONES:
        for zone in entries(root, "sys/class/thermal/thermal_zone*"):
            if text(zone / "type") == wanted and (degrees := _degrees(zone / "temp")) is not None:
                return degrees, shown(root, zone / "temp")
    return None


def _degrees(path: Path) -> float | None:
    said = number(path)
    if said is None or not DEGREES_MIN <= said / _PER_DEGREE <= DEGREES_MAX:
        return None
    return round(said / _PER_DEGREE, 1)
