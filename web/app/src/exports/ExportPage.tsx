import { Anchor, Code, Group, Paper, Stack, Table, Text } from "@mantine/core";
import type { Export } from "@sluice/client";
import { IconArrowLeft } from "@tabler/icons-react";
import { Link } from "wouter";
import { formatBytes, formatCount, formatList, formatTime } from "../format.js";
import { PageTitle } from "../layout/PageTitle.js";
import { useExport } from "../live/queries.js";
import { QueryStatus } from "../problems/QueryStatus.js";
import { strings } from "../strings.js";
import { ExportRow } from "./ExportRow.js";

/** The page of one export. */
export function ExportPage({ id }: { id: string }) {
  const query = useExport(id);
  const title = strings.exports.pageTitle(query.data?.dataset);
  return (
    <Stack maw={760} mx="auto">
      <Anchor component={Link} href="/">
        <Group gap={4}>
          <IconArrowLeft size={16} aria-hidden />
          {strings.exports.back}
        </Group>
      </Anchor>
      <PageTitle page={`export ${id}`} name={title} size="h3">
        {title}
      </PageTitle>
      <QueryStatus key={id} query={query} height={160} />
      {query.data && (
        <>
          <ExportRow item={query.data} />
          <Paper withBorder radius="lg" p="xs">
            <Details item={query.data} />
          </Paper>
        </>
      )}
    </Stack>
  );
}

function Details({ item }: { item: Export }) {
  const field = strings.exports.field;
  const json = (value: object | null) =>
    Object.keys(value ?? {}).length > 0 ? <Code block>{JSON.stringify(value, null, 2)}</Code> : undefined;
  const rows: [string, React.ReactNode][] = [
    [field.id, <Code key="id">{item.id}</Code>],
    [field.dataset, item.dataset],
    [
      field.columns,
      item.columns && item.columns.length > 0 ? formatList(item.columns) : strings.exports.allColumns,
    ],
    [field.filter, json(item.filter) ?? strings.exports.none],
    [field.params, json(item.params)],
    [field.requested, formatTime(item.requested_at)],
    [field.completed, item.completed_at && formatTime(item.completed_at)],
    [field.rows, item.file && formatCount(item.file.rows)],
    [field.size, item.file && formatBytes(item.file.size)],
    [field.digest, item.file && <Code key="sha">{item.file.sha256}</Code>],
  ];
  return (
    <>
      <Table layout="fixed" verticalSpacing="xs">
        <Table.Tbody>
          {rows
            .filter(([, value]) => value)
            .map(([name, value]) => (
              <Table.Tr key={name}>
                <Table.Th w={120} style={{ verticalAlign: "top" }}>
                  {name}
                </Table.Th>
                <Table.Td style={{ overflowWrap: "anywhere" }}>{value}</Table.Td>
              </Table.Tr>
            ))}
        </Table.Tbody>
      </Table>
      {item.expires_at && item.status === "completed" && (
        <Text size="xs" c="dimmed" p="xs">
          {strings.exports.expires(item.expires_at)}
        </Text>
      )}
    </>
  );
}
