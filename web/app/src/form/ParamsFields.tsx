import { MultiSelect, NativeSelect, NumberInput, Stack, Switch, TagsInput, TextInput } from "@mantine/core";
import type { FieldError } from "@sluice/client";
import { strings } from "../strings.js";
import type { Param } from "./params.js";

interface Props {
  params: Param[];
  values: Record<string, unknown>;
  /** Field errors of the last request. */
  errors: readonly FieldError[];
  /** Whether to mark missing values. */
  showMissing: boolean;
  onChange: (name: string, value: unknown) => void;
}

/** One field for each parameter of the dataset. */
export function ParamsFields({ params, values, errors, showMissing, onChange }: Props) {
  return (
    <Stack gap="sm">
      {params.map((param) => (
        <Field
          key={param.name}
          param={param}
          value={values[param.name] ?? param.initial}
          error={
            errors.find((field) => field.pointer.startsWith(`/params/${param.name}`))?.detail ??
            (showMissing && isMissing(param, values[param.name]) ? strings.form.valueMissing : undefined)
          }
          onChange={(value) => onChange(param.name, value)}
        />
      ))}
    </Stack>
  );
}

interface FieldProps {
  param: Param;
  value: unknown;
  error: string | undefined;
  onChange: (value: unknown) => void;
}

function Field({ param, value, error, onChange }: FieldProps) {
  const common = {
    label: param.label,
    description: param.description,
    withAsterisk: param.required,
    error,
    "data-testid": `param-${param.name}`,
  };
  const list = Array.isArray(value) ? value.map(String) : [];
  switch (param.kind) {
    case "list":
      return (
        <TagsInput
          {...common}
          placeholder={list.length === 0 ? strings.form.listHint : undefined}
          acceptValueOnBlur
          splitChars={[]} // a value may contain commas
          maxTags={param.maxItems}
          value={list}
          onChange={onChange}
        />
      );
    case "choices":
      return <MultiSelect {...common} data={param.choices} value={list} onChange={onChange} clearable />;
    case "choice":
      return (
        <NativeSelect
          {...common}
          data={param.required && value !== undefined ? param.choices : ["", ...param.choices]}
          value={value === undefined ? "" : String(value)}
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      );
    case "integer":
    case "number":
      return (
        <NumberInput
          {...common}
          allowDecimal={param.kind === "number"}
          value={typeof value === "number" ? value : ""}
          onChange={(given) => onChange(typeof given === "number" ? given : undefined)}
        />
      );
    case "boolean":
      return (
        <Switch
          label={param.label}
          description={param.description}
          error={error}
          data-testid={common["data-testid"]}
          checked={value === true}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
      );
    case "text":
      return (
        <TextInput
          {...common}
          value={typeof value === "string" ? value : ""}
          onChange={(event) => onChange(event.currentTarget.value)}
        />
      );
  }
}

function isMissing(param: Param, value: unknown): boolean {
  const empty = value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
  return param.required && param.initial === undefined && empty;
}
