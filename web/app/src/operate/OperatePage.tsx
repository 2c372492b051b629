import { Anchor, Stack, Text } from "@mantine/core";
import { type FailureGroup, type Overview, type ScheduledJob, SluiceError } from "@sluice/client";
import { Link } from "wouter";
import { formatCount, formatShortTime } from "../format.js";
import { PageTitle } from "../layout/PageTitle.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";
import { Acts } from "./Acts.js";
import { DeadLetters } from "./DeadLetters.js";
import { Exporters } from "./Exporters.js";
import { FindExports } from "./FindExports.js";
import { Pauses } from "./Pauses.js";
import { Queue } from "./Queue.js";
import { useOverview } from "./queries.js";
import { DataTable, Section } from "./Section.js";
import { Totals } from "./Totals.js";

/** The page of operators: the state of the installation, and what operators may do. */
export function OperatePage() {
  const overview = useOverview();
  const text = strings.operate;
  const isForbidden = overview.error && SluiceError.from(overview.error).slug === "forbidden";
  return (
    <Stack>
      <PageTitle page="operate" name={text.title} size="h3">
        {text.title}
      </PageTitle>
      {isForbidden ? (
        <Text data-testid="operate-forbidden">{text.forbidden}</Text>
      ) : (
        <>
          <Text size="sm" c="dimmed">
            {text.noRows}
          </Text>
          <QueryStatus query={overview} height={160} />
          {overview.data && <State overview={overview.data} />}
        </>
      )}
    </Stack>
  );
}

function State({ overview }: { overview: Overview }) {
  return (
    <>
      <Totals overview={overview} />
      <Pauses pauses={overview.pauses} />
      <FindExports />
      <Queue overview={overview} />
      <Failures failures={overview.failures} />
      <DeadLetters total={overview.dead_letters} />
      <Exporters exporters={overview.exporters} />
      <Schedule jobs={overview.schedule} />
      <Section title={strings.operate.acts.title} testId="acts">
        <Acts acts={overview.acts} />
      </Section>
    </>
  );
}

function Failures({ failures }: { failures: readonly FailureGroup[] }) {
  const text = strings.operate.failures;
  const rows = failures.map((group) => ({
    key: `${group.dataset} ${group.problem}`,
    cells: [
      group.dataset,
      group.problem,
      formatCount(group.exports),
      <Anchor
        key="newest"
        component={Link}
        href={`/operate/exports/${group.newest}`}
        fz="inherit"
        aria-label={text.showNewest(group.dataset)}
      >
        {text.show}
      </Anchor>,
    ],
  }));
  return (
    <Section title={text.title} testId="failures">
      <DataTable label={text.title} columns={Object.values(text.columns)} rows={rows} none={text.none} />
    </Section>
  );
}

function Schedule({ jobs }: { jobs: readonly ScheduledJob[] }) {
  const text = strings.operate.schedule;
  const rows = jobs.map((job) => ({
    key: job.name,
    cells: [
      job.name,
      job.schedule,
      formatShortTime(job.due_at),
      job.ended_at ? `${formatShortTime(job.ended_at)} · ${job.result ?? ""}` : text.never,
    ],
  }));
  return (
    <Section title={text.title} testId="schedule">
      <DataTable label={text.title} columns={Object.values(text.columns)} rows={rows} none={text.never} />
    </Section>
  );
}
