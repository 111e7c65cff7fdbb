// SPDX-License-Identifier: Apache-2.0
// The place in the page is in its address (#/jobs/j12), so that it can be sent to a colleague and the back button works.

export interface Place {
  section: string; // "" is the top
  id: string | null;
}

export function parsePlace(hash: string): Place {
  const [section = "", id = ""] = hash.replace(/^#\/?/, "").split("/");
  let decoded = id;
  try {
    decoded = decodeURIComponent(id);
  } catch {
    // A damaged address names nothing; it is shown as it is.
  }
  return { section, id: decoded === "" ? null : decoded };
}

export function address(section: string, id: string | null = null): string {
  return id === null ? `#/${section}` : `#/${section}/${encodeURIComponent(id)}`;
}

export function go(section: string, id: string | null = null): void {
  location.hash = address(section, id);
}

export function onPlace(arrived: (place: Place) => void): void {
  addEventListener("hashchange", () => arrived(parsePlace(location.hash)));
  arrived(parsePlace(location.hash));
}
