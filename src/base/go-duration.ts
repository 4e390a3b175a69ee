/** A duration of whole milliseconds as Go writes it, for messages that are a kubelet's: `0s`, `45ms`, `1.2s`, `2m3.5s`, `1h0m1s`. */
export function goDuration(ms: number): string {
  const whole = Math.trunc(ms);
  if (whole === 0) return '0s';
  if (whole < 1_000) return `${whole}ms`;
  const [hours, minutes, seconds] = [Math.trunc(whole / 3_600_000), Math.trunc(whole / 60_000) % 60, whole % 60_000];
  const parts = [hours > 0 && `${hours}h`, (hours > 0 || minutes > 0) && `${minutes}m`, `${seconds / 1_000}s`];
  return parts.filter((part) => part !== false).join('');
}
