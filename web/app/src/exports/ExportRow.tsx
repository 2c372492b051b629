import { Anchor, Badge, Group, Paper, Progress, Stack, Text } from "@mantine/core";
import { type ExportStatus, hasEnded, SluiceError } from "@sluice/client";
import { Link } from "wouter";
import { type MeasuredExport, markRunning } from "../live/mergeExport.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";
import { describeRequest } from "./describeRequest.js";
import { ExportActions } from "./ExportActions.js";
import { SaveStatus } from "./SaveStatus.js";
import { statusLine } from "./statusLine.js";
import { ThroughputChart } from "./ThroughputChart.js";
import { useSaveState } from "./useSaveState.js";

/** These colors have a contrast of at least 4.5 with their text, in light and dark. */
export const STATUS_COLORS: Record<ExportStatus, string> = {
  queued: "gray",
  dispatched: "gray",
  running: "water",
  completed: "teal",
  unchanged: "gray",
  failed: "red",
  canceled: "orange",
  expired: "gray",
};

/** One export: name, status, progress and actions. */
export function ExportRow({ item: given }: { item: MeasuredExport }) {
  const saveState = useSaveState(given.id);
  const item = markRunning(given, saveState?.phase === "receiving" ? saveState.received : 0);
  const ended = hasEnded(item.status);
  const request = describeRequest(item);
  const name = item.file?.name ?? `${item.dataset}.${item.format}`;
  return (
    <Paper
      withBorder
      radius="lg"
      p="md"
      shadow="xs"
      data-testid="export-row"
      data-export-id={item.id}
      component="article"
      aria-label={`${name}, ${strings.status[item.status]}`}
    >
      <Stack gap={8}>
        <Group justify="space-between" align="flex-start" wrap="nowrap" gap="xs">
          <div style={{ minWidth: 0 }}>
            <Anchor
              component={Link}
              href={`/exports/${item.id}`}
              c="inherit"
              fw={600}
              display="block"
              truncate
            >
              {name}
            </Anchor>
            <Text size="xs" c="dimmed">
              {strings.exports.requested(item.requested_at)}
            </Text>
            {request && (
              <Text size="sm" lineClamp={2} style={{ overflowWrap: "anywhere" }}>
                {request}
              </Text>
            )}
          </div>
          <Status status={item.status} />
        </Group>
        {!ended && <ProgressBar item={item} />}
        {item.status === "running" && item.throughput && <ThroughputChart rates={item.throughput.rates} />}
        <Group justify="space-between" gap="xs" align="center">
          <div style={{ minWidth: 0, flex: "1 1 12rem" }}>
            <Text
              size="sm"
              c="dimmed"
              style={{ fontVariantNumeric: "tabular-nums" }}
              data-testid="export-status-line"
            >
              {statusLine(item)}
            </Text>
            {saveState && (
              <SaveStatus
                saveState={saveState}
                size={item.file?.size}
                canSaveAgain={item.status === "completed"}
              />
            )}
          </div>
          <ExportActions item={item} saveState={saveState} />
        </Group>
        {item.status === "failed" && item.problem && (
          <ProblemAlert
            error={SluiceError.fromProblem({ ...item.problem, trace_id: item.problem.trace_id ?? item.id })}
          />
        )}
      </Stack>
    </Paper>
  );
}

/** The status of an export as a colored badge. */
export function Status({ status }: { status: ExportStatus }) {
  return (
    <Badge
      color={STATUS_COLORS[status]}
      variant="light"
      tt="none"
      style={{ flex: "none" }}
      data-testid="export-status"
      data-status={status}
    >
      {strings.status[status]}
    </Badge>
  );
}

function ProgressBar({ item }: { item: MeasuredExport }) {
  const { rows } = item.progress;
  const total = item.progress.rows_total ?? 0;
  const known = item.status === "running" && total > 0;
  const value = known ? Math.min(100, (rows / total) * 100) : 100;
  return (
    <Progress.Root size="md" radius="xl" data-testid="export-progress">
      <Progress.Section
        value={value}
        aria-label={strings.exports.progressLabel}
        aria-valuetext={known ? strings.exports.percent(value / 100) : strings.status[item.status]}
        color={known ? undefined : "gray.5"}
        animated
        striped={!known}
      />
    </Progress.Root>
  );
}
