import { Group, Progress, Text } from "@mantine/core";
import { IconCheck, IconCloudOff } from "@tabler/icons-react";
import type { SaveState } from "../saving/fileSaver.js";
import { strings } from "../strings.js";

interface Props {
  saveState: SaveState;
  /** Size of the complete file in bytes, once it is known. */
  size: number | undefined;
  /** Whether the button "Save again" is there. */
  canSaveAgain: boolean;
}

/** Shows the state of saving the file of an export. */
export function SaveStatus({ saveState, size, canSaveAgain }: Props) {
  const text = strings.saving;
  switch (saveState.phase) {
    case "receiving":
      return (
        <div data-testid="save-status" data-phase={saveState.state} data-received={saveState.received}>
          {saveState.state === "waiting" ? (
            <Group gap={4} wrap="nowrap" role="status">
              <IconCloudOff size={16} aria-hidden style={{ flex: "none" }} />
              <Text size="sm">{text.waiting(saveState.received)}</Text>
            </Group>
          ) : (
            <Text size="sm" c="dimmed" style={{ fontVariantNumeric: "tabular-nums" }}>
              {text.receiving(saveState.received, size)}
            </Text>
          )}
          {size !== undefined && (
            <Progress
              size="xs"
              mt={4}
              value={(saveState.received / Math.max(1, size)) * 100}
              aria-label={text.progressLabel}
            />
          )}
          {saveState.method === "memory" && (
            <Text size="xs" c="dimmed">
              {text.inMemory}
            </Text>
          )}
        </div>
      );
    case "saved":
      return (
        <Group
          gap={4}
          wrap="nowrap"
          data-testid="save-status"
          data-phase="saved"
          data-method={saveState.method}
        >
          <IconCheck size={16} aria-hidden color="var(--mantine-color-teal-text)" style={{ flex: "none" }} />
          <Text size="sm">
            {text.saved[saveState.method]}
            {/* no browser tells whether its download has reached the disk */}
            {canSaveAgain && saveState.method !== "file" && `. ${text.missing}`}
          </Text>
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
