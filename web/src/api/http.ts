/** One request to the server that sent this page. Never talks to any other host. */

import { ApiError, errorOfAnswer } from './error';

const TIMEOUT_MS = 130_000;

/** Takes something away; what is not there any more is no error. */
export async function remove(path: string): Promise<void> {
  let answer: Response;
  try {
    answer = await fetch(path, { method: 'DELETE', signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new ApiError('unreachable', 'the server does not answer');
  }
  if (!answer.ok && answer.status !== 404) throw errorOfAnswer(answer.status, await answer.text(), path);
}

/** Asks and gives the JSON answered. Query parameters go into the address, or into a form with `post`. */
export async function ask<T>(
  path: string,
  parameters: Record<string, string | string[]>,
  options: { signal?: AbortSignal; post?: boolean; timeoutMs?: number } = {},
): Promise<T> {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) form.append(name, one);
  }
  const query = form.toString();
  const timeout = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  let answer: Response;
  let body: string;
  try {
    answer = options.post
      ? await fetch(path, { method: 'POST', body: form, signal })
      : await fetch(query === '' ? path : `${path}?${query}`, { signal });
    body = await answer.text();
  } catch (error) {
    if (options.signal?.aborted) throw error;
    if (timeout.aborted)
      throw new ApiError(
        'timeout',
        `no answer to ${path} within ${(options.timeoutMs ?? TIMEOUT_MS) / 1000} s`,
      );
    throw new ApiError('unreachable', 'the server does not answer');
  }
  if (!answer.ok) throw errorOfAnswer(answer.status, body, path);
  try {
    return JSON.parse(body) as T;
  } catch {
    throw new ApiError('server', `the answer to ${path} is not JSON`, answer.status);
  }
}
