/** What can go wrong between the page and the server, told apart so that each gets its own words. */

export type FailureKind =
  | 'unreachable' // no answer at all
  | 'opening' // 503 while the data folder opens
  | 'unauthorized' // 401
  | 'forbidden' // 403
  | 'query' // the query itself is wrong
  | 'timeout' // the query took too long, or was given up
  | 'overload' // a limit of the server
  | 'server'; // anything else

export class ApiError extends Error {
  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly status: number | null = null,
    readonly position: { line: number; column: number } | null = null,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** `1:5: parse error: unexpected …` anywhere in a Prometheus message; both numbers count from one. */
export function positionOf(message: string): { line: number; column: number } | null {
  const found = /(?:^|[\s"(:])(\d+):(\d+): parse error/.exec(message);
  return found ? { line: Number(found[1]), column: Number(found[2]) } : null;
}

function kindOf(status: number, errorType: string, path: string): FailureKind {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (errorType === 'timeout' || errorType === 'canceled' || status === 408 || status === 504)
    return 'timeout';
  if (status === 503) return errorType === '' || errorType === 'unavailable' ? 'opening' : 'overload';
  if (status === 429) return 'overload';
  if (status === 400 || status === 422) return path.includes('/query') ? 'query' : 'server';
  return 'server';
}

/** The error for an answer that is no success; `body` is its text. */
export function errorOfAnswer(status: number, body: string, path: string): ApiError {
  let message = body.trim().slice(0, 2000);
  let errorType = '';
  try {
    const json = JSON.parse(body) as { error?: unknown; errorType?: unknown };
    if (typeof json.error === 'string') message = json.error;
    if (typeof json.errorType === 'string') errorType = json.errorType;
  } catch {
    // Plain text is an answer too.
  }
  if (message === '' || message.startsWith('<')) message = `the server answered ${status} to ${path}`;
  return new ApiError(kindOf(status, errorType, path), message, status, positionOf(message));
}

export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ApiError('server', message);
}
