/** Statuses: always a shape and a word; the colour only helps. */
import { grouped } from "../format";
import type { Status } from "../types";

const WORDS: Record<Status, string> = {
  pending: "Pending",
  waiting: "Waiting",
  calling: "Calling",
  queued: "Queued",
  assigned: "Assigned",
  starting: "Starting",
  running: "Running",
  preempting: "Preempting",
  cancelling: "Cancelling",
  held: "Held",
  succeeded: "Succeeded",
  failed: "Failed",
  cancelled: "Cancelled",
  "timed-out": "Timed out",
  skipped: "Skipped",
  lost: "Lost",
};

export const word = (status: Status): string => WORDS[status] ?? status;

/** Which colour a status has: see the custom properties of the same names in style.css. */
export function tone(status: Status): string {
  switch (status) {
    case "succeeded":
      return "good";
    case "failed":
    case "timed-out":
      return "bad";
    case "running":
    case "calling":
    case "starting":
    case "assigned":
      return "busy";
    case "queued":
    case "waiting":
      return "wait";
    case "held":
    case "lost":
      return "held";
    case "preempting":
    case "cancelling":
      return "wait";
    default:
      return "idle";
  }
}

function Shape({ status }: { status: Status }) {
  switch (status) {
    case "succeeded":
      return (
        <>
          <circle class="fill" cx="8" cy="8" r="7" />
          <path class="cut" d="m4.8 8.3 2.2 2.2 4.2-4.7" />
        </>
      );
    case "failed":
      return (
        <>
          <path class="fill" d="M5.1 1h5.800L15 5.100v5.800L10.9 15H5.100L1 10.900V5.100z" />
          <path class="cut" d="m5.5 5.5 5 5m0-5-5 5" />
        </>
      );
    case "timed-out":
      return (
        <>
          <circle class="fill" cx="8" cy="8" r="7" />
          <path class="cut" d="M8 4v4.200l2.6 1.6" />
        </>
      );
    case "running":
    case "calling":
      return (
        <>
          <circle class="line faint" cx="8" cy="8" r="6" />
          <path class="line turn" d="M8 2a6 6 0 0 1 6 6" />
        </>
      );
    case "assigned":
    case "starting":
      return (
        <>
          <circle class="line faint" cx="8" cy="8" r="6" />
          <circle class="fill" cx="8" cy="8" r="2.5" />
        </>
      );
    case "queued":
      return (
        <>
          <circle class="line" cx="8" cy="8" r="6" />
          <path class="line" d="M8 4.800V8l2 1.3" />
        </>
      );
    case "waiting":
      return (
        <>
          <circle class="line" cx="8" cy="8" r="6" />
          <path class="line" d="M5.5 6.5h5m-5 3h5" />
        </>
      );
    case "held":
      return (
        <>
          <circle class="fill" cx="8" cy="8" r="7" />
          <path class="cut" d="M6.3 5.300v5.400m3.4-5.400v5.4" />
        </>
      );
    case "preempting":
    case "cancelling":
      return (
        <>
          <circle class="line dashed" cx="8" cy="8" r="6" />
          <path class="line" d="m6 6 4 4m0-4-4 4" />
        </>
      );
    case "cancelled":
      return (
        <>
          <circle class="line" cx="8" cy="8" r="6" />
          <path class="line" d="m4 12 8-8" />
        </>
      );
    case "lost":
      return (
        <>
          <circle class="line dashed" cx="8" cy="8" r="6" />
          <path class="line" d="M6.300 6.400a1.800 1.800 0 1 1 2.400 1.700c-.5.2-.7.5-.7 1M8 11.200v.1" />
        </>
      );
    case "skipped":
      return (
        <>
          <circle class="line" cx="8" cy="8" r="6" />
          <path class="line" d="m6 5.5 2.5 2.500L6 10.500M10.3 5.500v5" />
        </>
      );
    default:
      return <circle class="line dashed" cx="8" cy="8" r="6" />;
  }
}

export function Icon({ status, label }: { status: Status; label?: boolean }) {
  return (
    <svg
      class={`status tone-${tone(status)}`}
      viewBox="0 0 16 16"
      width="16"
      height="16"
      {...(label ? { role: "img", "aria-label": word(status) } : { "aria-hidden": "true" })}
    >
      <Shape status={status} />
    </svg>
  );
}

export function StatusText({ status }: { status: Status }) {
  return (
    <span class={`status-text tone-${tone(status)}`}>
      <Icon status={status} />
      <span>{word(status)}</span>
    </span>
  );
}

/** What asks for a look first. */
const ORDER: readonly Status[] = [
  "failed",
  "timed-out",
  "held",
  "cancelling",
  "preempting",
  "running",
  "calling",
  "starting",
  "assigned",
  "queued",
  "waiting",
  "pending",
  "cancelled",
  "skipped",
  "succeeded",
];

/** From what is done to what is to come. */
const BAR: readonly Status[] = [
  "succeeded",
  "skipped",
  "cancelled",
  "failed",
  "timed-out",
  "held",
  "cancelling",
  "preempting",
  "running",
  "calling",
  "starting",
  "assigned",
  "queued",
  "waiting",
  "pending",
];

/** How many jobs stand where: a bar, and (with `legend`) its numbers in words. */
export function CountsBar({ counts, legend }: { counts: Partial<Record<Status, number>>; legend?: boolean }) {
  const told = ORDER.filter((status) => counts[status]);
  const text = told.map((status) => `${counts[status]} ${word(status).toLowerCase()}`).join(", ") || "no jobs yet";
  return (
    <div class="counts">
      <div class="counts-bar" role="img" aria-label={text}>
        {BAR.filter((status) => counts[status]).map((status) => (
          <span key={status} class={`tone-${tone(status)} at-${status}`} style={{ flexGrow: counts[status] }} />
        ))}
      </div>
      {legend && (
        <ul class="counts-legend" aria-hidden="true">
          {told.map((status) => (
            <li key={status}>
              <Icon status={status} />
              <b>{grouped(counts[status] ?? 0)}</b> {word(status).toLowerCase()}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
