import { Anchor, Badge, Button, Group, NativeSelect, Text, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import type { ExportSummary, OperateQuery } from "@sluice/client";
import { IconSearch } from "@tabler/icons-react";
import { useState } from "react";
import { Link } from "wouter";
import { STATUS_COLORS } from "../exports/ExportRow.js";
import { formatShortTime } from "../format.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";
import { useFoundExports } from "./queries.js";
import { DataTable, Section } from "./Section.js";

/** Pause between the last key and the search, in milliseconds. */
const TYPING_MS = 250;

/** Search over the exports of all tenants. */
export function FindExports() {
  const [text, setText] = useState("");
  const [status, setStatus] = useState("");
  const [typed] = useDebouncedValue(text.trim(), TYPING_MS);
  const query: OperateQuery = {
    ...(typed ? { text: typed } : undefined),
    ...(status ? { status } : undefined),
  };
  const found = useFoundExports(query);
  const items = found.data?.pages.flatMap((page) => page.items) ?? [];
  const texts = strings.operate.find;
  return (
    <Section title={texts.title} testId="find">
      <Group align="flex-end" gap="sm">
        <TextInput
          label={texts.text}
          placeholder={texts.hint}
          leftSection={<IconSearch size={16} aria-hidden />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          maxLength={255}
          data-testid="find-text"
          style={{ flex: "1 1 18rem" }}
        />
        <NativeSelect
          label={texts.status}
          data={[
            { value: "", label: texts.any },
            ...Object.entries(strings.status).map(([value, label]) => ({ value, label })),
          ]}
          value={status}
          onChange={(event) => setStatus(event.currentTarget.value)}
          data-testid="find-status"
        />
      </Group>
      <QueryStatus key={JSON.stringify(query)} query={found} height={90} />
      {found.data && (
        <>
          <Text size="sm" c="dimmed" role="status" data-testid="find-count">
            {texts.found(items.length, found.hasNextPage)}
          </Text>
          <DataTable
            label={texts.title}
            columns={Object.values(texts.columns)}
            rows={items.map(toRow)}
            none={texts.none}
          />
        </>
      )}
      {found.hasNextPage && (
        <Button
          variant="subtle"
          loading={found.isFetchingNextPage}
          onClick={() => void found.fetchNextPage()}
        >
          {texts.more}
        </Button>
      )}
    </Section>
  );
}

function toRow(item: ExportSummary) {
  return {
    key: item.id,
    cells: [
      <Anchor
        key="dataset"
        component={Link}
        href={`/operate/exports/${item.id}`}
        fz="inherit"
        data-testid="found-export"
      >
        {item.dataset}
      </Anchor>,
      strings.operate.owner(item.tenant, item.user),
      <Badge key="status" variant="light" tt="none" color={STATUS_COLORS[item.status]}>
        {strings.status[item.status]}
      </Badge>,
      formatShortTime(item.requested_at),
      item.problem ?? "",
    ],
  };
}
