import { Button, Group, NativeSelect, Paper, Stack, Text, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useEffect, useState } from "react";
import { ExportRow } from "../exports/ExportRow.js";
import { PageTitle } from "../layout/PageTitle.js";
import { type HistoryQuery, useDatasets, useHistory } from "../live/queries.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";
import { DayChart } from "./DayChart.js";
import { exportsPerDay } from "./exportsPerDay.js";
import { matchesSearch } from "./matchesSearch.js";

/** Number of days in the chart. */
const DAYS = 14;

/** Maximum number of pages to fetch for the chart. */
const MAX_PAGES = 10;

/** All exports, filtered by status, dataset and search words, with a chart of exports per day. */
export function HistoryPage() {
  const [query, setQuery] = useState<HistoryQuery>({});
  const [search, setSearch] = useState("");
  const datasets = useDatasets();
  const history = useHistory(query);
  const text = strings.history;
  const all = history.data?.pages.flatMap((page) => page.items) ?? [];
  const items = all.filter((item) => matchesSearch(item, search.trim()));
  const setFilter = (key: keyof HistoryQuery, value: string) =>
    setQuery(({ [key]: _, ...rest }) => (value ? { ...rest, [key]: value } : rest));
  return (
    <Stack>
      <PageTitle page="history" name={text.title} size="h3">
        {text.title}
      </PageTitle>
      <Paper withBorder radius="lg" p="md">
        <RecentDays />
      </Paper>
      <Group align="flex-end" gap="sm">
        <TextInput
          label={text.search}
          placeholder={text.searchHint}
          leftSection={<IconSearch size={16} aria-hidden />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
          data-testid="history-search"
          style={{ flex: "1 1 14rem" }}
        />
        <NativeSelect
          label={text.status}
          data={[{ value: "", label: text.anyStatus }, ...Object.entries(strings.status).map(toOption)]}
          value={query.status ?? ""}
          onChange={(event) => setFilter("status", event.currentTarget.value)}
          data-testid="history-status"
        />
        <NativeSelect
          label={text.dataset}
          data={[
            { value: "", label: text.anyDataset },
            ...(datasets.data ?? []).map(({ name, title }) => ({ value: name, label: title })),
          ]}
          value={query.dataset ?? ""}
          onChange={(event) => setFilter("dataset", event.currentTarget.value)}
          data-testid="history-dataset"
        />
      </Group>
      <QueryStatus key={JSON.stringify(query)} query={history} height={90} />
      {history.data && (
        <Text size="sm" c="dimmed" role="status" data-testid="history-count">
          {text.found(items.length, all.length, history.hasNextPage)}
        </Text>
      )}
      {items.map((item) => (
        <ExportRow key={item.id} item={item} />
      ))}
      {history.hasNextPage && (
        <Button
          variant="subtle"
          loading={history.isFetchingNextPage}
          onClick={() => void history.fetchNextPage()}
        >
          {strings.exports.more}
        </Button>
      )}
    </Stack>
  );
}

/** Chart of the last days, independent of the filters of the list. */
function RecentDays() {
  const { data, hasNextPage, isFetching, isError, fetchNextPage } = useHistory({});
  const pages = data?.pages ?? [];
  const items = pages.flatMap((page) => page.items);
  const days = exportsPerDay(items, DAYS, new Date());
  const oldest = items.at(-1);
  const reached = !hasNextPage || (oldest && Date.parse(oldest.requested_at) < (days[0]?.at ?? 0));
  const more = !reached && !isFetching && !isError && pages.length > 0 && pages.length < MAX_PAGES;
  useEffect(() => {
    if (more) {
      void fetchNextPage();
    }
  }, [more, fetchNextPage]);
  return <DayChart days={days} isComplete={reached ?? false} />;
}

function toOption([value, label]: [string, string]) {
  return { value, label };
}
