import { Anchor, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { formatShortTime } from "../format.js";
import { useLive } from "../live/LiveProvider.js";
import { queryKeys } from "../live/queryCache.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";
import { DataTable, Section } from "./Section.js";

/** The number of dead letters on the page. */
const SHOWN = 20;

/** The newest dead letters. `total` is the number of all; the list is fetched again when it changes. */
export function DeadLetters({ total }: { total: number }) {
  const { client } = useLive();
  const text = strings.operate.deadLetters;
  const letters = useQuery({
    queryKey: queryKeys.deadLetters(total),
    queryFn: ({ signal }) => client.operate.deadLetters({ limit: SHOWN }, { signal }),
    enabled: total > 0,
  });
  const rows = (letters.data?.items ?? []).map((letter) => ({
    key: String(letter.sequence),
    cells: [
      formatShortTime(letter.at),
      letter.reason,
      letter.detail,
      <Anchor
        key="export"
        component={Link}
        href={`/operate/exports/${letter.export_id}`}
        fz="inherit"
        aria-label={text.showNumbered(letter.sequence)}
      >
        {text.show}
      </Anchor>,
    ],
  }));
  return (
    <Section title={text.title} testId="dead-letters">
      {total === 0 ? (
        <Text size="sm" c="dimmed">
          {text.none}
        </Text>
      ) : (
        <>
          <QueryStatus query={letters} height={60} />
          {letters.data && (
            <DataTable
              label={text.title}
              columns={Object.values(text.columns)}
              rows={rows}
              none={text.none}
            />
          )}
        </>
      )}
    </Section>
  );
}
