"""Write a report as one page that needs nothing else: no network, no font, and no script but for sorting."""
