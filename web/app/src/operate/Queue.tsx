import { Badge, Button, Group, Text } from "@mantine/core";
import type { Overview, QueueGroup } from "@sluice/client";
import { IconPlayerPause } from "@tabler/icons-react";
import { useState } from "react";
import { formatCount, formatShortTime } from "../format.js";
import { strings } from "../strings.js";
import { PauseDialog } from "./Pauses.js";
import { DataTable, Section } from "./Section.js";

/** The unfinished exports by owner, lane and pool. */
export function Queue({ overview }: { overview: Overview }) {
  const [paused, setPaused] = useState<QueueGroup>();
  const text = strings.operate.queue;
  const rows = overview.queue.map((group) => {
    const owner = strings.operate.owner(group.tenant, group.user);
    return {
      key: JSON.stringify([group.pool, group.lane, group.tenant, group.user]),
      cells: [
        <Group key="owner" gap={6} wrap="nowrap">
          {owner}
          {group.paused ? (
            <Badge color="orange" variant="light" tt="none">
              {strings.operate.pauses.badge}
            </Badge>
          ) : (
            <Button
              size="compact-xs"
              variant="subtle"
              leftSection={<IconPlayerPause size={12} aria-hidden />}
              aria-label={text.pauseOwner(owner)}
              onClick={() => setPaused(group)}
            >
              {strings.operate.pauses.pause}
            </Button>
          )}
        </Group>,
        text.lane(group.lane, group.pool),
        formatCount(group.waiting),
        formatCount(group.dispatched),
        formatCount(group.running),
        formatShortTime(group.oldest),
      ],
    };
  });
  return (
    <Section title={text.title} testId="queue">
      <DataTable label={text.title} columns={Object.values(text.columns)} rows={rows} none={text.none} />
      {overview.queue_omitted > 0 && (
        <Text size="sm" c="dimmed">
          {text.omitted(overview.queue_omitted)}
        </Text>
      )}
      {paused && (
        <PauseDialog
          owner={{ tenant: paused.tenant, user: paused.user }}
          onClose={() => setPaused(undefined)}
        />
      )}
    </Section>
  );
}
