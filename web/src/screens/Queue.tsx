/** Jobs that wait for a worker, in the order in which they will be placed, each with its reason. */
import { count, grouped } from "../format";
import { Duration, Empty, Labels, Loading, Trouble, useTitle } from "../parts/ui";
import { Virtual } from "../parts/Virtual";
import { type Queue, useState$ } from "../run/live";

const ROW = 44;

export function QueueScreen() {
  const state = useState$<Queue>("queue", "/queue");
  useTitle("Queue");
  const queue = state.value.value;
  return (
    <>
      <div class="head">
        <h1>Queue</h1>
        {queue && (
          <p class="facts muted">
            {count(queue.total, "job waits", "jobs wait")}
            {queue.total > queue.items.length && `; the first ${grouped(queue.items.length)} are shown`}
          </p>
        )}
      </div>
      {state.error.value !== null && <Trouble error={state.error.value} />}
      {!queue ? (
        state.error.value === null && <Loading />
      ) : queue.items.length === 0 ? (
        <Empty title="Nothing waits">Every job that could begin has begun.</Empty>
      ) : (
        <section class="panel">
          <h2 class="sr">Jobs that wait</h2>
          <div style={{ height: `min(${queue.items.length * ROW}px, max(320px, 100vh - 170px))` }}>
            <Virtual
              rows={queue.items.length}
              height={ROW}
              label="Jobs that wait"
              render={(first, last) =>
                queue.items.slice(first, last).map((item) => (
                  <a
                    key={`${item.run} ${item.job}`}
                    class="queue-row"
                    data-row
                    href={`/runs/${item.run}/jobs/${item.job}`}
                  >
                    <span class="queue-place num">{grouped(item.position + 1)}</span>
                    <span class="queue-name">
                      <b>{item.name}</b>
                      <span class="muted mono">{item.run}</span>
                    </span>
                    <span class="queue-reason">{item.reason}</span>
                    <Labels labels={item.labels} />
                    <span class="queue-since num">
                      <Duration from={item.since_ms} to={null} />
                    </span>
                  </a>
                ))
              }
            />
          </div>
        </section>
      )}
    </>
  );
}
