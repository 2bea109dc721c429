// In the head: an address that selects something hides the pictures of the opening view until that view is drawn.
if (/=/.test(location.hash) || /embed=/.test(location.search)) document.documentElement.dataset.waits = "";
