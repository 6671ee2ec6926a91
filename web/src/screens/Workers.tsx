/** Agents: who runs jobs, how much room they have, what they do. */
import { bytes } from "../format";
import { Duration, Empty, Labels, Loading, Meter, Trouble, useTitle } from "../parts/ui";
import { useState$ } from "../run/live";
import type { AgentState } from "../types";

function word(agent: AgentState): { word: string; tone: string } {
  if (!agent.connected) return { word: "Not connected", tone: "bad" };
  if (agent.drained) {
    const state = agent.busy > 0 ? "Drained: takes nothing new, and ends what it has" : "Drained: takes nothing new";
    return { word: agent.drained_for === "" ? state : `${state} (${agent.drained_for})`, tone: "held" };
  }
  if (agent.held) return { word: "Holds its steps back: no room", tone: "held" };
  if (!agent.ready) return { word: "Getting ready", tone: "wait" };
  return agent.busy > 0 ? { word: "Working", tone: "busy" } : { word: "Free", tone: "good" };
}

export function WorkersScreen() {
  const state = useState$<{ agents: AgentState[] }>("workers", "/workers");
  useTitle("Workers");
  const agents = state.value.value?.agents;
  return (
    <>
      <div class="head">
        <h1>Workers</h1>
      </div>
      {state.error.value !== null && <Trouble error={state.error.value} />}
      {!agents ? (
        state.error.value === null && <Loading />
      ) : agents.length === 0 ? (
        <Empty title="No agent is connected">Jobs wait until there is one.</Empty>
      ) : (
        <div class="agents">
          {agents.map((agent) => (
            <Agent key={agent.id} agent={agent} />
          ))}
        </div>
      )}
    </>
  );
}

function Agent({ agent }: { agent: AgentState }) {
  const state = word(agent);
  return (
    <section class="panel agent">
      <h2>
        <span class={`dot tone-${state.tone}`} aria-hidden="true" />
        <span class="mono">{agent.id}</span>
        <span class={`status-text tone-${state.tone}`}>{state.word}</span>
        <span class="muted">version {agent.version}</span>
      </h2>
      <Labels labels={agent.labels} />
      {agent.taints.length > 0 && (
        <p class="muted inset">Kept for jobs that tolerate {agent.taints.join(", ")}.</p>
      )}
      <dl class="room">
        {agent.pool !== "" && (
          <div>
            <dt>Pool</dt>
            <dd>{agent.pool}</dd>
          </div>
        )}
        {agent.zone !== "" && (
          <div>
            <dt>Zone</dt>
            <dd>{agent.zone}</dd>
          </div>
        )}
        <div>
          <dt>Slots</dt>
          <dd>
            <Meter value={Math.min(agent.busy, agent.slots)} most={agent.slots} label="Slots in use" />
            <span class="num">
              {Math.min(agent.busy, agent.slots)} of {agent.slots}
              {agent.busy > agent.slots && <span class="muted"> and {agent.busy - agent.slots} at hand</span>}
            </span>
          </dd>
        </div>
        {agent.cpus > 0 && (
          <div>
            <dt>CPUs reserved</dt>
            <dd>
              <Meter value={agent.cpus - agent.cpus_free} most={agent.cpus} label="CPUs reserved" />
              <span class="num">
                {round(agent.cpus - agent.cpus_free)} of {round(agent.cpus)}
              </span>
            </dd>
          </div>
        )}
        {agent.memory_bytes > 0 && (
          <div>
            <dt>Memory reserved</dt>
            <dd>
              <Meter
                value={agent.memory_bytes - agent.memory_free_bytes}
                most={agent.memory_bytes}
                label="Memory reserved, bytes"
              />
              <span class="num">
                {bytes(agent.memory_bytes - agent.memory_free_bytes)} of {bytes(agent.memory_bytes)}
              </span>
            </dd>
          </div>
        )}
        {agent.connected && (
          <div>
            <dt>Machine in use</dt>
            <dd>
              <Meter value={agent.load} most={1} label="Share of the machine in use" />
              <span class="num">{Math.round(agent.load * 100)} %</span>
            </dd>
          </div>
        )}
        {agent.spool_bytes > 0 && (
          <div>
            <dt>Spool</dt>
            <dd class="num">{bytes(agent.spool_bytes)}</dd>
          </div>
        )}
      </dl>
      {agent.jobs.length === 0 ? (
        <p class="muted inset">It runs nothing.</p>
      ) : (
        <ul class="agent-jobs">
          {agent.jobs.map((job) => (
            <li key={`${job.run} ${job.job} ${job.attempt}`}>
              <a data-row href={`/runs/${job.run}/jobs/${job.job}`}>
                {job.name}
              </a>
              {job.attempt > 1 && <span class="label">attempt {job.attempt}</span>}
              <span class="muted mono">{job.run}</span>
              <span class="muted">
                for <Duration from={job.since_ms} to={null} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

const round = (value: number): string => String(Math.round(value * 10) / 10);
