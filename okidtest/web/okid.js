class okID {
	// The SDK of the okID simulator. It takes the options that okID documents at
	// https://www.okid.io/developer. It runs under a strict Content-Security-
	// Policy: no eval, no inline handler, no style attribute in markup.

	#config;
	#dialog = null;

	// Without URLs in the config it stays with the simulator that served it, and
	// does not wander off to the real okID.
	static #home = new URL("..", document.currentScript?.src ?? location.href).href;

	constructor(config = {}) {
		const home = okID.#home.replace(/\/$/, "");
		this.#config = { apiUrl: home, frontendUrl: home, flowName: "standard", locale: "en", ...config };
	}

	// init opens the flow over the page. A second call does nothing while it is
	// open, and opens it again once it was closed.
	init() {
		if (this.#dialog) return;
		const { frontendUrl, processToken, flowName, locale } = this.#config;
		const flow = new URL(frontendUrl.replace(/\/$/, "") + "/flow");
		flow.search = new URLSearchParams({ process_token: processToken ?? "", flow_name: flowName, locale });

		const frame = document.createElement("iframe");
		frame.src = flow.href;
		frame.title = "okID simulator";
		Object.assign(frame.style, { flex: "1", width: "100%", border: "0" });

		const close = document.createElement("button");
		close.type = "button";
		close.textContent = "\u00d7";
		close.setAttribute("aria-label", "Close the verification");
		Object.assign(close.style, {
			alignSelf: "flex-end", width: "48px", height: "48px", border: "0", borderRadius: "12px", outlineOffset: "-6px",
			background: "none", color: "inherit", font: "28px/1 system-ui, sans-serif", cursor: "pointer",
		});

		// A modal dialog keeps the focus inside and closes on Escape.
		const dialog = document.createElement("dialog");
		dialog.setAttribute("aria-label", "Identity verification");
		Object.assign(dialog.style, {
			display: "flex", flexDirection: "column", position: "fixed", inset: "0", boxSizing: "border-box",
			width: "100%", height: "100%", maxWidth: "none", maxHeight: "none", margin: "0", padding: "0", border: "0",
			colorScheme: "light dark", background: "light-dark(#f3f5f7, #11161b)", color: "light-dark(#1b2530, #e7ecf0)",
		});
		dialog.append(close, frame);
		document.body.append(dialog);
		this.#dialog = dialog;

		const hear = (event) => {
			if (event.origin !== flow.origin || event.source !== frame.contentWindow) return;
			const { okid, data, next } = event.data ?? {};
			if (!["complete", "error", "close"].includes(okid)) return;
			end();
			if (okid === "complete") this.#config.onComplete?.(data);
			if (okid === "error") this.#config.onError?.(data);
			if (next) location.assign(next);
		};
		// Ending removes the listener, so that a verification is told of once.
		const end = () => {
			window.removeEventListener("message", hear);
			dialog.remove();
			this.#dialog = null;
		};
		window.addEventListener("message", hear);
		close.addEventListener("click", end);
		dialog.addEventListener("close", end);
		dialog.showModal();
	}
}
