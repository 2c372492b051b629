import { Group, Progress, Text } from "@mantine/core";
import { IconCheck, IconCloudOff } from "@tabler/icons-react";
import type { SaveState } from "../saving/fileSaver.js";
import { strings } from "../strings.js";

interface Props {
  saving: SaveState;
  /** Of the whole file, bytes, once that is known. */
  size: number | undefined;
}

/** How far this page is with the file itself. */
export function SaveStatus({ saving, size }: Props) {
  const text = strings.saving;
  switch (saving.phase) {
    case "receiving":
      return (
        <div data-testid="save-status" data-phase={saving.state} data-received={saving.received}>
          {saving.state === "waiting" ? (
            <Group gap={4} wrap="nowrap" role="status">
              <IconCloudOff size={16} aria-hidden style={{ flex: "none" }} />
              <Text size="sm">{text.waiting(saving.received)}</Text>
            </Group>
          ) : (
            <Text size="sm" c="dimmed" style={{ fontVariantNumeric: "tabular-nums" }}>
              {text.receiving(saving.received, size)}
            </Text>
          )}
          {size !== undefined && (
            <Progress
              size="xs"
              mt={4}
              value={(saving.received / Math.max(1, size)) * 100}
              aria-label={text.progressLabel}
            />
          )}
          {saving.method === "memory" && (
            <Text size="xs" c="dimmed">
              {text.inMemory}
            </Text>
          )}
        </div>
      );
    case "saved":
      return (
        <Group gap={4} wrap="nowrap" data-testid="save-status" data-phase="saved" data-method={saving.method}>
          <IconCheck size={16} aria-hidden color="var(--mantine-color-teal-text)" />
          <Text size="sm">{text.saved[saving.method]}</Text>
        </Group>
      );
    case "paused":
      return (
        <Text size="sm" data-testid="save-status" data-phase="paused">
          {text.paused}
        </Text>
      );
    case "failed":
      return null;
  }
}
