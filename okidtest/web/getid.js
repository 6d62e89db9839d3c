// The partner's script of the GetID simulator. It has what Checkin.com documents
// at https://dev.checkin.com/docs/dataflow and is of use to a page that only
// checks documents. It runs under a strict Content-Security-Policy: no eval, no
// inline handler, no style attribute in markup.
(() => {
	"use strict";

	const flow = new URL("flow", document.currentScript.src);
	let onComplete, onUpdate;
	let dialog = null;

	// open shows the flow over the page. A second call does nothing while it is
	// open, and opens it again once it was closed.
	const open = () => {
		if (dialog) return;
		const frame = document.createElement("iframe");
		frame.src = flow.href;
		frame.title = "GetID simulator";
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
		dialog = document.createElement("dialog");
		dialog.setAttribute("aria-label", "Identity verification");
		Object.assign(dialog.style, {
			display: "flex", flexDirection: "column", position: "fixed", inset: "0", boxSizing: "border-box",
			width: "100%", height: "100%", maxWidth: "none", maxHeight: "none", margin: "0", padding: "0", border: "0",
			colorScheme: "light dark", background: "light-dark(#f3f5f7, #11161b)", color: "light-dark(#1b2530, #e7ecf0)",
		});
		dialog.append(close, frame);
		document.body.append(dialog);

		const hear = (event) => {
			if (event.origin !== flow.origin || event.source !== frame.contentWindow) return;
			const ocr = event.data?.getid;
			if (!ocr) return;
			end();
			const result = { data: { ocr }, completeData: { ocr } };
			onUpdate?.(result);
			onComplete?.(result);
		};
		// Ending removes the listener, so that a verification is told of once.
		const end = () => {
			window.removeEventListener("message", hear);
			dialog?.remove();
			dialog = null;
		};
		window.addEventListener("message", hear);
		close.addEventListener("click", end);
		dialog.addEventListener("close", end);
		dialog.showModal();
	};

	window.checkin = {
		settings: { setLang: (lang) => flow.searchParams.set("locale", lang) },
		signUp: { open },
		dataFlow: {
			setOnComplete: (f) => { onComplete = f; },
			setOnUpdate: (f) => { onUpdate = f; },
		},
	};
	window.onCheckinLoad?.(window.checkin);
})();
