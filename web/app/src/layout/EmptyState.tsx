import { Paper, Stack, Text } from "@mantine/core";
import type { Icon } from "@tabler/icons-react";

interface Props {
  icon: Icon;
  title: string;
  /** The next step for the user. */
  text: string;
  testId?: string;
}

/** Shows that a list is empty, and the next step for the user. */
export function EmptyState({ icon: IconOfList, title, text, testId }: Props) {
  return (
    <Paper withBorder radius="lg" p="xl" data-testid={testId}>
      <Stack align="center" gap={6}>
        <IconOfList size={40} stroke={1.3} aria-hidden color="var(--mantine-color-dimmed)" />
        <Text fw={600}>{title}</Text>
        <Text c="dimmed" ta="center" size="sm" maw={320}>
          {text}
        </Text>
      </Stack>
    </Paper>
  );
}
