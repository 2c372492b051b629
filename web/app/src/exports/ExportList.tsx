import { Anchor, Group, Stack, Title } from "@mantine/core";
import { IconFileDownload } from "@tabler/icons-react";
import { Link } from "wouter";
import { EmptyState } from "../layout/EmptyState.js";
import { useExports } from "../live/queries.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";
import { ExportRow } from "./ExportRow.js";

/** The user's newest exports. The history page lists all of them. */
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
        <EmptyState icon={IconFileDownload} title={strings.exports.emptyTitle} text={strings.exports.empty} />
      )}
      {items.map((item) => (
        <ExportRow key={item.id} item={item} />
      ))}
    </Stack>
  );
}
