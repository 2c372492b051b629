/** The logo: a sluice gate above water. */
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" fill="var(--mantine-primary-color-filled)" />
      <path
        d="M7 9h18M7 9v5c3 0 3 3 6 3s3-3 6-3 3 3 6 3V9M7 22c3 0 3 2 6 2s3-2 6-2 3 2 6 2"
        fill="none"
        stroke="#fff"
        strokeWidth="2.4"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
