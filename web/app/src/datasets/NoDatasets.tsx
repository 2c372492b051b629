import { IconTableOff } from "@tabler/icons-react";
import { EmptyState } from "../layout/EmptyState.js";
import { strings } from "../strings.js";

/** Shown when the installation offers the user no dataset. */
export function NoDatasets() {
  return (
    <EmptyState
      icon={IconTableOff}
      title={strings.datasets.emptyTitle}
      text={strings.datasets.empty}
      testId="no-datasets"
    />
  );
}
