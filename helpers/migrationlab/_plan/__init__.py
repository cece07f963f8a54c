"""What plans are made of and judged by; the public faces are ``settings``, ``plan``, ``judgement``.

``setting`` and ``settingstable`` are the material of the table of settings, ``rules`` and
``situationrules`` what must hold between them, alone and between two hosts (``situation``), ``abi``
what a guest must find again at the destination, ``virsh`` the equal line of virsh.
"""
