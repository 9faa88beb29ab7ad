/**
 * The nonce that the server put into this page for styles made at run time. Browsers hide the
 * attribute from CSS, so it is read from the element's property.
 */
export function nonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? '';
}
