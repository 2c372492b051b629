import { Anchor, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { IconFileDownload } from "@tabler/icons-react";
import { Link } from "wouter";
import { useExports } from "../live/queries.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";
import { ExportRow } from "./ExportRow.js";

/** The person's newest exports; the history has all of them. */
export function ExportList() {
  const exports = useExports();
  const items = exports.data?.pages[0]?.items ?? [];
  return (
    <Stack component="section" aria-label={strings.exports.title}>
      <Group justify="space-between">
        <Title order={2} size="h4">
          {strings.exports.title}
        </Title>
        {items.length > 0 && (
          <Anchor component={Link} href="/history" size="sm">
            {strings.exports.all}
          </Anchor>
        )}
      </Group>
      <QueryStatus query={exports} height={90} />
      {exports.data && items.length === 0 && (
        <Paper withBorder radius="lg" p="xl">
          <Stack align="center" gap={6}>
            <IconFileDownload size={40} stroke={1.3} aria-hidden color="var(--mantine-color-dimmed)" />
            <Text fw={600}>{strings.exports.emptyTitle}</Text>
            <Text c="dimmed" ta="center" size="sm" maw={320}>
              {strings.exports.empty}
            </Text>
          </Stack>
        </Paper>
      )}
      {items.map((item) => (
        <ExportRow key={item.id} item={item} />
      ))}
    </Stack>
  );
}
