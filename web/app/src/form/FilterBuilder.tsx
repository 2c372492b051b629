import {
  ActionIcon,
  Box,
  Button,
  Group,
  NativeSelect,
  SegmentedControl,
  Stack,
  TagsInput,
  Text,
  TextInput,
} from "@mantine/core";
import type { Column } from "@sluice/client";
import {
  emptyValues,
  type FilterRow,
  isIncomplete,
  isYesOrNo,
  type Match,
  type Operator,
  operatorsOf,
} from "@sluice/client/form";
import { IconPlus, IconTrash } from "@tabler/icons-react";
import { useRef } from "react";
import { strings } from "../strings.js";
import classes from "./FilterBuilder.module.css";

interface Props {
  columns: Column[];
  rows: FilterRow[];
  match: Match;
  /** Whether to mark missing values. */
  showMissing: boolean;
  /** Error of the server by the key of the row. */
  fieldErrors: ReadonlyMap<number, string>;
  onRows: (rows: FilterRow[]) => void;
  onMatch: (match: Match) => void;
}

/** Shows the filter as rows, each with a column, an operator and a value. */
export function FilterBuilder({ columns, rows, match, showMissing, fieldErrors, onRows, onMatch }: Props) {
  const first = columns[0];
  const addButton = useRef<HTMLButtonElement>(null);
  const add = () => {
    if (first) {
      const operator: Operator = "eq";
      const key = Math.max(0, ...rows.map((row) => row.key)) + 1;
      onRows([...rows, { key, column: first.name, operator, values: emptyValues(first.type, operator) }]);
    }
  };
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Text size="sm" fw={500}>
          {strings.form.filters}
        </Text>
        {rows.length > 1 && (
          <SegmentedControl
            size="xs"
            value={match}
            onChange={(value) => onMatch(value === "any" ? "any" : "all")}
            data={[
              { value: "all", label: strings.form.matchAll },
              { value: "any", label: strings.form.matchAny },
            ]}
          />
        )}
      </Group>
      {rows.length === 0 && (
        <Text size="sm" c="dimmed">
          {strings.form.filtersEmpty}
        </Text>
      )}
      {rows.map((row) => (
        <Row
          key={row.key}
          columns={columns}
          row={row}
          showMissing={showMissing}
          error={fieldErrors.get(row.key)}
          onChange={(changed) => onRows(rows.map((other) => (other.key === row.key ? changed : other)))}
          onRemove={() => {
            onRows(rows.filter((other) => other.key !== row.key));
            addButton.current?.focus(); // the pressed button was removed
          }}
        />
      ))}
      <Box>
        <Button
          ref={addButton}
          size="xs"
          variant="light"
          leftSection={<IconPlus size={14} />}
          onClick={add}
          data-testid="filter-add"
        >
          {strings.form.addFilter}
        </Button>
      </Box>
    </Stack>
  );
}

interface RowProps {
  columns: Column[];
  row: FilterRow;
  showMissing: boolean;
  error: string | undefined;
  onChange: (row: FilterRow) => void;
  onRemove: () => void;
}

function Row({ columns, row, showMissing, error, onChange, onRemove }: RowProps) {
  const column = columns.find((column) => column.name === row.column);
  const type = column?.type ?? "string";
  const chooseColumn = (name: string) => {
    const nextType = columns.find((column) => column.name === name)?.type ?? "string";
    const operators = operatorsOf(nextType);
    const operator = operators.includes(row.operator) ? row.operator : (operators[0] ?? "eq");
    onChange({ ...row, column: name, operator, values: emptyValues(nextType, operator) });
  };
  const chooseOperator = (operator: Operator) => {
    const values = emptyValues(type, operator);
    const before = emptyValues(type, row.operator);
    const sameShape =
      values.length === before.length && isYesOrNo(type, operator) === isYesOrNo(type, row.operator);
    onChange({ ...row, operator, values: sameShape ? row.values : values });
  };
  return (
    <div className={classes.row}>
      <NativeSelect
        className={classes.column}
        aria-label={strings.form.column}
        data-testid="filter-column"
        value={row.column}
        onChange={(event) => chooseColumn(event.currentTarget.value)}
        data={columns.map((column) => ({ value: column.name, label: column.label ?? column.name }))}
      />
      <NativeSelect
        className={classes.operator}
        aria-label={strings.form.operator}
        data-testid="filter-op"
        value={row.operator}
        onChange={(event) => chooseOperator(event.currentTarget.value as Operator)}
        data={operatorsOf(type).map((operator) => ({ value: operator, label: strings.operators[operator] }))}
      />
      <div className={classes.value}>
        <Values
          type={type}
          utc={type === "datetime" && !column?.local}
          row={row}
          error={showMissing && isIncomplete(row) ? strings.form.valueMissing : error}
          onChange={onChange}
        />
      </div>
      <ActionIcon
        className={classes.remove}
        variant="subtle"
        color="gray"
        size="lg"
        aria-label={strings.form.removeFilter}
        onClick={onRemove}
      >
        <IconTrash size={16} />
      </ActionIcon>
    </div>
  );
}

interface ValuesProps {
  type: string;
  /** Whether the values are moments in UTC. */
  utc: boolean;
  row: FilterRow;
  error: string | undefined;
  onChange: (row: FilterRow) => void;
}

function Values({ type, utc, row, error, onChange }: ValuesProps) {
  if (isYesOrNo(type, row.operator)) {
    return (
      <NativeSelect
        aria-label={strings.form.value}
        data-testid="filter-value"
        value={row.values[0] ?? "true"}
        error={error}
        onChange={(event) => onChange({ ...row, values: [event.currentTarget.value] })}
        data={[
          { value: "true", label: strings.form.yes },
          { value: "false", label: strings.form.no },
        ]}
      />
    );
  }
  if (row.operator === "in" || row.operator === "not_in") {
    return (
      <TagsInput
        aria-label={strings.form.value}
        data-testid="filter-value"
        placeholder={row.values.length === 0 ? strings.form.listHint : undefined}
        acceptValueOnBlur
        splitChars={[]} // a value may contain commas
        value={row.values}
        error={error}
        onChange={(values) => onChange({ ...row, values })}
      />
    );
  }
  const labels = row.operator === "between" ? [strings.form.from, strings.form.to] : [strings.form.value];
  return (
    <div className={classes.inputs} data-wide={type === "datetime" || undefined}>
      {labels.map((label, index) => (
        <TextInput
          key={label}
          aria-label={utc ? `${label} (${strings.form.utc})` : label}
          data-testid={index === 0 ? "filter-value" : "filter-value-to"}
          type={inputType(type)}
          step={type === "datetime" || type === "time" ? 1 : undefined}
          inputMode={
            type === "int" ? "numeric" : type === "float" || type === "decimal" ? "decimal" : undefined
          }
          rightSection={utc ? <Text size="xs">{strings.form.utc}</Text> : undefined}
          placeholder={label}
          value={row.values[index] ?? ""}
          error={error}
          onChange={(event) => {
            const values = labels.map((_, at) =>
              at === index ? event.currentTarget.value : (row.values[at] ?? ""),
            );
            onChange({ ...row, values });
          }}
        />
      ))}
    </div>
  );
}

function inputType(type: string): string {
  return { date: "date", datetime: "datetime-local", time: "time" }[type] ?? "text";
}
