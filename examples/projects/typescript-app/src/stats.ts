export interface Stats {
  count: number;
  median: number;
  mean: number;
}

export function stats(numbers: readonly number[]): Stats {
  if (numbers.length === 0) throw new RangeError("no numbers");
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle]!;
  const median = sorted.length % 2 ? upper : (sorted[middle - 1]! + upper) / 2;
  const mean = sorted.reduce((sum, number) => sum + number, 0) / sorted.length;
  return { count: sorted.length, median, mean };
}
