import { Alert, Button, Group, List, Text } from "@mantine/core";
import { type FieldError, type Slug, SluiceError } from "@sluice/client";
import { pointerParts } from "@sluice/client/form";
import { IconAlertTriangle } from "@tabler/icons-react";
import { SaveError } from "../saving/saveError.js";
import { problemText, saveErrorTexts, strings } from "../strings.js";

interface Actions {
  onClose?: () => void;
  onRetry?: (() => void) | undefined;
  /** Whether the retry is running. */
  retrying?: boolean;
  /** Returns the label of a request field on the page. */
  label?: (field: FieldError) => string | undefined;
}

type Props = Actions & ({ error: unknown } | { slug: Slug; detail?: string });

/** Shows a problem and the next step for the user. */
export function ProblemAlert(props: Props) {
  const problem =
    "slug" in props
      ? new SluiceError({ slug: props.slug, title: "", detail: props.detail })
      : SluiceError.from(props.error, "protocol");
  const { onClose, onRetry, retrying, label } = props;
  const reason = problem instanceof SaveError ? problem.reason : undefined;
  const text = reason ? saveErrorTexts[reason] : problemText(problem.slug);
  // details of client-side errors are technical
  const isClientSide = problem.status === 0 && !("slug" in props);
  const detail = problem.detail && problem.errors.length === 0 && !isClientSide ? problem.detail : undefined;
  return (
    <Alert
      role="alert"
      data-testid="problem"
      data-slug={problem.slug}
      data-reason={reason}
      color="red"
      variant="light"
      icon={<IconAlertTriangle size={20} aria-hidden />}
      title={text.title}
      withCloseButton={onClose !== undefined}
      onClose={onClose}
      closeButtonLabel={strings.dismiss}
    >
      {detail && <Text size="sm">{toSentence(detail)}</Text>}
      {problem.errors.length > 0 && (
        <List size="sm" mb={4}>
          {problem.errors.map((field) => (
            <List.Item key={field.pointer + field.detail}>{fieldText(field, label?.(field))}</List.Item>
          ))}
        </List>
      )}
      <Text size="sm">{text.next}</Text>
      {problem.traceId && (
        <Text size="xs" mt={4} style={{ overflowWrap: "anywhere" }}>
          {strings.trace(problem.traceId)}
        </Text>
      )}
      {reason === "outdated" ? (
        <RetryButton label={strings.reload} onClick={() => window.location.reload()} />
      ) : (
        onRetry && (
          <RetryButton
            label={reason ? strings.exports.saveAgain : strings.retry}
            onClick={onRetry}
            loading={retrying}
          />
        )
      )}
    </Alert>
  );
}

function RetryButton({ label, onClick, loading }: { label: string; onClick: () => void; loading?: boolean }) {
  return (
    <Group mt="xs">
      <Button size="xs" variant="outline" color="red" onClick={onClick} loading={loading}>
        {label}
      </Button>
    </Group>
  );
}

function fieldText(field: FieldError, label: string | undefined): string {
  const path = label ?? pointerParts(field.pointer).join(" › ");
  return path ? `${path}: ${field.detail}` : toSentence(field.detail);
}

function toSentence(text: string): string {
  const trimmed = text.trim();
  const start = trimmed.charAt(0).toLocaleUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(start) ? start : `${start}.`;
}
