const UNITS = { h: 3600, m: 60, s: 1 };

/** Seconds that a text like "1h30m" stands for. */
export function parse(text) {
  const parts = [...text.matchAll(/(\d+)([hms])/g)];
  if (!parts.length || parts.map(([part]) => part).join("") !== text) {
    throw new RangeError(`no duration: ${text}`);
  }
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * UNITS[unit], 0);
}

/** A number of seconds as text, without units that are zero. */
export function format(seconds) {
  let rest = seconds;
  let text = "";
  for (const [unit, size] of Object.entries(UNITS)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count) text += `${count}${unit}`;
  }
  return text || "0s";
}
