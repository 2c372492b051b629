import { Alert, Button, Code, CopyButton, Group, Stack, Text } from "@mantine/core";
import type { CreatedApiKey } from "@sluice/client";
import { IconAlertTriangle, IconCheck, IconCopy } from "@tabler/icons-react";
import { strings } from "../strings.js";

/** Shows the secret of a new key, with a button that copies it. */
export function NewKey({ created, onDone }: { created: CreatedApiKey; onDone: () => void }) {
  const text = strings.keys;
  return (
    <Alert
      color="yellow"
      icon={<IconAlertTriangle size={20} aria-hidden />}
      title={text.newTitle(created.name)}
      role="status"
      data-testid="new-key"
    >
      <Stack gap="xs">
        <Text size="sm">{text.newWarning}</Text>
        <Code block data-testid="key-secret" style={{ overflowWrap: "anywhere", whiteSpace: "pre-wrap" }}>
          {created.key}
        </Code>
        <Group gap="xs">
          <CopyButton value={created.key}>
            {({ copied, copy }) => (
              <Button
                size="xs"
                leftSection={
                  copied ? <IconCheck size={14} aria-hidden /> : <IconCopy size={14} aria-hidden />
                }
                onClick={copy}
                data-testid="key-copy"
              >
                {copied ? text.copied : text.copy}
              </Button>
            )}
          </CopyButton>
          <Button size="xs" variant="default" onClick={onDone} data-testid="key-done">
            {text.done}
          </Button>
        </Group>
      </Stack>
    </Alert>
  );
}
