import { Button, Paper, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useExports } from "../live/queries.js";
import { ProblemAlert } from "../problems/ProblemAlert.js";
import { strings } from "../strings.js";
import { ExportRow } from "./ExportRow.js";

/** The person's exports, newest first. */
export function ExportList() {
  const exports = useExports();
  const items = exports.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Stack>
      <Title order={2} size="h4">
        {strings.exports.title}
      </Title>
      {exports.isPending && <Skeleton height={90} radius="md" aria-label={strings.loading} />}
      {exports.isError && <ProblemAlert error={exports.error} onRetry={() => void exports.refetch()} />}
      {exports.isSuccess && items.length === 0 && (
        <Paper withBorder radius="lg" p="xl">
          <Text c="dimmed" ta="center">
            {strings.exports.empty}
          </Text>
        </Paper>
      )}
      {items.map((item) => (
        <ExportRow key={item.id} item={item} />
      ))}
      {exports.hasNextPage && (
        <Button
          variant="subtle"
          loading={exports.isFetchingNextPage}
          onClick={() => void exports.fetchNextPage()}
        >
          {strings.exports.more}
        </Button>
      )}
    </Stack>
  );
}
