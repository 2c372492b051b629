import { Alert, Anchor, Badge, Button, Code, Group, Stack, Table, Text, Timeline } from "@mantine/core";
import { type ExportStory, hasEnded, SluiceError } from "@sluice/client";
import { IconAlertTriangle, IconArrowLeft, IconPlayerStop, IconRefresh } from "@tabler/icons-react";
import { useState } from "react";
import { Link } from "wouter";
import { STATUS_COLORS } from "../exports/ExportRow.js";
import { formatBytes, formatCount, formatTime } from "../format.js";
import { PageTitle } from "../layout/PageTitle.js";
import { useLive } from "../live/LiveProvider.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";
import { Acts } from "./Acts.js";
import { useStory } from "./queries.js";
import { ReasonDialog } from "./ReasonDialog.js";
import { DataTable, Section } from "./Section.js";

/** The whole story of one export of any owner. */
export function StoryPage({ id }: { id: string }) {
  const story = useStory(id);
  const text = strings.operate.story;
  const isForbidden = story.error && SluiceError.from(story.error).slug === "forbidden";
  const title = text.pageTitle(story.data?.summary.dataset);
  return (
    <Stack maw={900} mx="auto">
      <Anchor component={Link} href="/operate">
        <Group gap={4}>
          <IconArrowLeft size={16} aria-hidden />
          {text.back}
        </Group>
      </Anchor>
      <PageTitle page={`operate ${id}`} name={title} size="h3">
        {title}
      </PageTitle>
      {isForbidden ? (
        <Text data-testid="operate-forbidden">{strings.operate.forbidden}</Text>
      ) : (
        <>
          <QueryStatus key={id} query={story} height={160} />
          {story.data && <Story story={story.data} />}
        </>
      )}
    </Stack>
  );
}

function Story({ story }: { story: ExportStory }) {
  const text = strings.operate.story;
  return (
    <>
      <Actions story={story} />
      {story.problem && (
        <Alert
          color="red"
          variant="light"
          icon={<IconAlertTriangle size={20} aria-hidden />}
          title={text.problem}
          data-testid="story-problem"
        >
          <Text size="sm" style={{ overflowWrap: "anywhere" }}>
            {[story.problem.title, story.problem.detail].filter(Boolean).join(": ")}
          </Text>
        </Alert>
      )}
      <Section title={text.facts} testId="facts">
        <Facts story={story} />
      </Section>
      <Section title={text.events} testId="events">
        <Timeline bulletSize={12} lineWidth={2} active={story.events.length}>
          {story.events.map((event, index) => (
            <Timeline.Item
              // biome-ignore lint/suspicious/noArrayIndexKey: the list only grows at its end
              key={index}
              title={text.kinds[event.kind]}
              data-testid="event"
              data-kind={event.kind}
            >
              <Text size="sm" c="dimmed" style={{ overflowWrap: "anywhere" }}>
                {[
                  formatTime(event.at),
                  event.attempt > 0 ? text.attempt(event.attempt) : undefined,
                  event.exporter,
                  event.waiting_for,
                ]
                  .filter(Boolean)
                  .join(" · ")}
              </Text>
            </Timeline.Item>
          ))}
        </Timeline>
      </Section>
      <Section title={text.attempts} testId="attempts">
        <Attempts story={story} />
      </Section>
      {story.dead_letters.length > 0 && (
        <Section title={text.deadLetters} testId="dead-letters">
          {story.dead_letters.map((letter) => (
            <Text key={letter.sequence} size="sm" style={{ overflowWrap: "anywhere" }}>
              {`${formatTime(letter.at)} · ${letter.reason}: ${letter.detail}`}
            </Text>
          ))}
        </Section>
      )}
      <Section title={text.acts} testId="acts">
        <Acts acts={story.acts} />
      </Section>
    </>
  );
}

function Actions({ story }: { story: ExportStory }) {
  const { client } = useLive();
  const [act, setAct] = useState<"cancel" | "retry">();
  const { id, status } = story.summary;
  const text = strings.operate.story;
  const mayRetry = status === "failed" && !story.retried_as;
  return (
    <Group gap="xs">
      {!hasEnded(status) && (
        <Button
          variant="default"
          leftSection={<IconPlayerStop size={16} aria-hidden />}
          onClick={() => setAct("cancel")}
          data-testid="story-cancel"
        >
          {text.cancel}
        </Button>
      )}
      {mayRetry && (
        <Button
          leftSection={<IconRefresh size={16} aria-hidden />}
          onClick={() => setAct("retry")}
          data-testid="story-retry"
        >
          {text.retry}
        </Button>
      )}
      {story.retried_as && (
        <Text size="sm" role="status">
          {text.retried}
        </Text>
      )}
      {act === "cancel" && (
        <ReasonDialog
          title={text.cancel}
          explain={text.cancelExplain}
          submit={text.cancel}
          onSubmit={(reason) => client.operate.cancel(id, reason)}
          onClose={() => setAct(undefined)}
        />
      )}
      {act === "retry" && (
        <ReasonDialog
          title={text.retry}
          explain={text.retryExplain}
          submit={text.retry}
          onSubmit={(reason) => client.operate.retry(id, reason)}
          onClose={() => setAct(undefined)}
        />
      )}
    </Group>
  );
}

function Facts({ story }: { story: ExportStory }) {
  const { summary, file, pause, retried_as } = story;
  const text = strings.operate.story;
  const field = text.field;
  const rows: [string, React.ReactNode][] = [
    [field.id, <Code key="id">{summary.id}</Code>],
    [field.owner, strings.operate.owner(summary.tenant, summary.user)],
    [
      field.status,
      <Badge
        key="status"
        variant="light"
        tt="none"
        color={STATUS_COLORS[summary.status]}
        data-testid="story-status"
        data-status={summary.status}
      >
        {strings.status[summary.status]}
      </Badge>,
    ],
    [field.pause, pause && strings.operate.pauses.facts(pause)],
    [field.queue, strings.operate.queue.lane(summary.lane, summary.pool)],
    [field.requested, formatTime(summary.requested_at)],
    [field.credits, formatCount(summary.credits)],
    [field.trace, summary.trace_id && <Code key="trace">{summary.trace_id}</Code>],
    [field.file, file && text.file(file.size, file.rows)],
    [field.digest, file && <Code key="sha">{file.sha256}</Code>],
    [
      field.retriedAs,
      retried_as && (
        <Anchor
          key="retried"
          component={Link}
          href={`/operate/exports/${retried_as}`}
          data-testid="retried-as"
        >
          {retried_as}
        </Anchor>
      ),
    ],
  ];
  return (
    <Table layout="fixed" verticalSpacing="xs">
      <Table.Tbody>
        {rows
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Th w={120} style={{ verticalAlign: "top" }}>
                {name}
              </Table.Th>
              <Table.Td style={{ overflowWrap: "anywhere" }}>{value}</Table.Td>
            </Table.Tr>
          ))}
      </Table.Tbody>
    </Table>
  );
}

function Attempts({ story }: { story: ExportStory }) {
  const text = strings.operate.story;
  const rows = story.attempts.map((attempt) => ({
    key: String(attempt.number),
    cells: [
      formatCount(attempt.number),
      attempt.exporter ?? "",
      formatTime(attempt.started_at),
      attempt.ended_at ? formatTime(attempt.ended_at) : "",
      attempt.result ? text.kinds[attempt.result] : text.running,
      formatCount(attempt.segments),
      formatCount(attempt.rows),
      formatBytes(attempt.bytes),
    ],
  }));
  return (
    <DataTable
      label={text.attempts}
      columns={Object.values(text.columns)}
      rows={rows}
      none={text.noAttempts}
    />
  );
}
