// openSimulator shows the flow of a simulator over the page, and returns the
// function that closes it. hear gets every message of the flow; closed runs when
// the dialog is gone, whoever closed it.
function openSimulator(flow, title, hear, closed) {
	const frame = document.createElement("iframe");
	frame.src = flow.href;
	frame.title = title;
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

	const onMessage = (event) => {
		if (event.origin === flow.origin && event.source === frame.contentWindow) hear(event.data ?? {});
	};
	// Ending removes the listener, so that a verification is told of once.
	const end = () => {
		window.removeEventListener("message", onMessage);
		dialog.remove();
		closed();
	};
	window.addEventListener("message", onMessage);
	close.addEventListener("click", end);
	dialog.addEventListener("close", end);
	dialog.showModal();
	return end;
}
