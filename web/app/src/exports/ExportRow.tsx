import { Anchor, Badge, Button, Group, Paper, Progress, Stack, Text } from "@mantine/core";
import { type ExportStatus, hasEnded, SluiceError } from "@sluice/client";
import { IconCheck, IconDeviceFloppy, IconX } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { Link } from "wouter";
import { useLive } from "../live/LiveProvider.js";
import type { Paced } from "../live/merge.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";
import { describe } from "./describe.js";
import type { Saving } from "./saver.js";
import { useSaving } from "./useSaving.js";

const COLORS: Record<ExportStatus, string> = {
  queued: "gray",
  dispatched: "gray",
  running: "water",
  completed: "teal",
  failed: "red",
  canceled: "orange",
  expired: "gray",
};

/** One export: what it is, how far it is, and what can be done with it. */
export function ExportRow({ item }: { item: Paced }) {
  const { saver, client } = useLive();
  const saving = useSaving(item.id);
  const cancel = useMutation({ mutationFn: () => client.cancel(item.id) });
  const ended = hasEnded(item.status);
  const asked = describe(item);
  const receiving = saving?.phase === "receiving" ? saving : undefined;
  return (
    <Paper
      withBorder
      radius="lg"
      p="md"
      shadow="xs"
      data-testid="export-row"
      data-export-id={item.id}
      component="article"
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
              {item.file?.name ?? `${item.dataset}.${item.format}`}
            </Anchor>
            <Text size="xs" c="dimmed">
              {strings.exports.requested(item.requested_at)}
            </Text>
            {asked && (
              <Text size="sm" lineClamp={2} style={{ overflowWrap: "anywhere" }}>
                {asked}
              </Text>
            )}
          </div>
          <Badge
            color={COLORS[item.status]}
            variant="light"
            tt="none"
            style={{ flex: "none" }}
            data-testid="export-status"
            data-status={item.status}
          >
            {strings.status[item.status]}
          </Badge>
        </Group>
        {!ended && <Bar item={item} />}
        <Group justify="space-between" gap="xs" align="center">
          <Text size="sm" c="dimmed" style={{ fontVariantNumeric: "tabular-nums" }}>
            {facts(item, receiving)}
          </Text>
          <Group gap="xs">
            {saving?.phase === "saved" && (
              <Group gap={4} c="teal">
                <IconCheck size={16} aria-hidden />
                <Text size="sm">{strings.exports.saved}</Text>
              </Group>
            )}
            {item.status === "completed" && (
              <Button
                size="xs"
                variant={saving ? "default" : "light"}
                leftSection={<IconDeviceFloppy size={16} />}
                loading={receiving !== undefined}
                onClick={() => void saver.save(item.id)}
                data-testid="save-button"
              >
                {saving?.phase === "saved" ? strings.exports.saveAgain : strings.exports.save}
              </Button>
            )}
            {!ended && (
              <Button
                size="xs"
                variant="default"
                leftSection={<IconX size={14} />}
                disabled={cancel.isPending || cancel.isSuccess}
                onClick={() => cancel.mutate()}
                data-testid="cancel-button"
              >
                {cancel.isPending || cancel.isSuccess ? strings.exports.canceling : strings.exports.cancel}
              </Button>
            )}
          </Group>
        </Group>
        {item.status === "failed" && item.problem && (
          <ProblemAlert error={SluiceError.fromProblem(item.problem)} />
        )}
        {saving?.phase === "failed" && <ProblemAlert error={saving.error} />}
        {cancel.isError && <ProblemAlert error={cancel.error} onClose={cancel.reset} />}
      </Stack>
    </Paper>
  );
}

function Bar({ item }: { item: Paced }) {
  const { rows, rows_total } = item.progress;
  const known = item.status === "running" && rows_total !== null && rows_total > 0;
  const value = known ? Math.min(100, (rows / rows_total) * 100) : 100;
  return (
    <Progress.Root size="md" radius="xl" data-testid="export-progress">
      <Progress.Section
        value={value}
        aria-label={strings.exports.progressLabel}
        color={known ? undefined : "gray"}
        animated
        striped={!known}
      />
    </Progress.Root>
  );
}

function facts(item: Paced, receiving: Extract<Saving, { phase: "receiving" }> | undefined): string {
  const text = strings.exports;
  const { rows, rows_total, bytes, queue_position, eta_ms } = item.progress;
  if (item.status === "completed" && item.file) {
    return receiving
      ? text.receiving(receiving.received, item.file.size)
      : join([text.rowsOf(item.file.rows, null), text.bytes(item.file.size)]);
  }
  if (hasEnded(item.status)) {
    return "";
  }
  if (item.status !== "running") {
    return queue_position === null ? "" : text.queued(queue_position);
  }
  return join([
    text.rowsOf(rows, rows_total),
    text.bytes(bytes),
    item.pace?.bytesPerSecond ? text.rate(item.pace.bytesPerSecond) : undefined,
    eta_ms === null ? undefined : text.eta(eta_ms),
  ]);
}

function join(parts: (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join(" · ");
}
